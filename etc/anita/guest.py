"""Talks with a NetBSD guest by way of anita, for `cargo xtask anita`.

This installs and boots the guest, has it run commands, and says how each
ended. What that means, which commands they are, and what is reported is
xtask's: it starts this program with one argument, an object of JSON with the
fields of `Config`, writes requests to its standard input, a line of JSON each,
and reads one answer to each from its standard output. What anita says goes to
standard error.

    {"do": "boot"}                                   starts QEMU, logs in
    {"do": "run", "command": "...", "limit": 60}     has the shell run it
    {"do": "halt"}                                   halts the guest

An answer has

    ended      "status"   the command ended, or the guest is up, or has halted
               "ddb"      the kernel's debugger asked for a command
               "gone"     QEMU ended
               "limit"    nothing of that within the limit
    status     what the command exited with
    qemu       how QEMU ended, if it did
    console    everything that came from the console since the last answer

After any end but "status" the guest is gone: the debugger, if it could be
reached, was asked where everything stands, and QEMU was ended.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Any, BinaryIO

# Standard output is for answers alone; anita prints to what is now there.
ANSWERS = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


@dataclass
class Config:
    """What there is to boot."""

    module: str | None  # the directory of anita.py, if it is not installed
    release: str | None  # what to install: a URL or a directory, ending in a slash
    workdir: str  # anita's directory, where the installed system is
    image: str | None  # or else a disk image with such a system
    arch: str  # the port, if there is no release to tell
    memory: str  # how much the guest has
    disks: str  # what its disks are: "ide" or "virtio"
    share: str  # the file that is its second disk
    vmm_args: list[str]  # arguments for QEMU, always
    boot_args: list[str]  # and those that only the installed system gets
    console: str  # the file to which everything from the console is added
    boot_limit: float  # how long a boot may take, in seconds


def answer(**fields: object) -> None:
    """Writes one answer."""
    print(json.dumps(fields), file=ANSWERS, flush=True)


CONFIG = Config(**json.loads(sys.argv[1]))
if CONFIG.module:
    sys.path.insert(0, CONFIG.module)
try:
    import pexpect
    import anita

    if not all(hasattr(anita, name) for name in ("Anita", "distribution", "quote_prompt")):
        raise ImportError(f"{anita.__file__} is something else", name="anita")
except ImportError as error:
    answer(missing=error.name, why=str(error))
    sys.exit(1)

# At the beginning of a line; before a message of newer kernels stands the time.
LINE = r"[\r\n](?:\[[ 0-9.]+\] )?"
PANIC = LINE + "panic: "
DDB = LINE + r"db(?:\{\d+\})?> "
MORE = "--db_more--"

# What the debugger is asked: the stack, and what each thread waits for.
DDB_COMMANDS = ("bt", "ps/w")

# How long a kernel that panicked may take to get to the debugger or to reboot.
DYING_SECONDS = 120.0

# QEMU's way to send a break over the line that its monitor shares.
BREAK = "\x01b"


class Console:
    """A log of the console that remembers what came last."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.recent = bytearray()

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.recent += data

    def flush(self) -> None:
        self.file.flush()

    def take(self) -> str:
        """What came since the last call."""
        text = self.recent.decode("utf-8", "replace").replace("\r", "")
        self.recent.clear()
        return text


class Installed(anita.Version):
    """A system that somebody installed."""

    def arch(self) -> str:
        return CONFIG.arch


class Guest(anita.Anita):
    """The guest."""

    child: Any  # the pexpect.spawn that QEMU runs on, or None

    def __init__(self) -> None:
        if CONFIG.release:
            dist = anita.distribution(CONFIG.release)
        else:
            dist = Installed()
        super().__init__(
            dist,
            workdir=CONFIG.workdir,
            memory_size=CONFIG.memory,
            vmm="qemu",
            vmm_args=CONFIG.vmm_args,
            image_format="sparse",
        )
        self.installing = False
        self.console = Console(open(CONFIG.console, "ab", buffering=0))
        self.unstructured_log_f = self.console
        self.steps = 0

    # What anita has this class adapt.

    def wd0_path(self) -> str:
        path: str = CONFIG.image or super().wd0_path()
        return path + ".new" if self.installing else path

    def qemu_disk_args(
        self, path: str, number: int = 0, writable: bool = True, snapshot: bool = False
    ) -> list[str]:
        command: list[str] = super().qemu_disk_args(path, number, writable, snapshot)
        if CONFIG.disks == "virtio":
            command[1] += ",if=virtio"
        elif number == 1:
            # On a channel of its own: NetBSD 8.99.5 may wait for ever for two
            # disks of one.
            command[1] += ",index=2"
        return command

    def configure_child(self, child: Any) -> None:
        super().configure_child(child)
        # anita waits half a minute each time it closes one; for the sake of Xen.
        for closer in (child, child.ptyproc):
            closer.delayafterclose = closer.delayafterterminate = 0.5

    # What xtask asks for.

    def start(self) -> None:
        """Installs the system if there is none, boots it, and logs in.

        A guest that is up is of no more use, and goes.
        """
        if self.child is not None:
            self.child.close()
        if not CONFIG.image and not os.path.exists(self.wd0_path()):
            self.install_anew()
        share = self.qemu_disk_args(os.path.abspath(CONFIG.share), 1, True, True)
        self.is_logged_in = False
        self.start_boot(share + CONFIG.boot_args, install=False)
        ended = self.wait("login:", CONFIG.boot_limit)
        if ended != "status":
            self.end(ended)
            return
        self.child.timeout = CONFIG.boot_limit
        try:
            # This becomes a Bourne shell, whatever root's is.
            status = self.shell_cmd("true")
        except pexpect.TIMEOUT:
            self.end("limit")
        except pexpect.EOF:
            self.end("gone")
        else:
            answer(ended="status", status=status, console=self.console.take())

    def install_anew(self) -> None:
        """Installs the system.

        A disk gets its name when that is done: what is left of an installation
        that was broken off is not to be taken for a system.
        """
        self.installing = True
        new = self.wd0_path()
        if os.path.exists(new):
            os.unlink(new)
        self.install()
        self.installing = False
        os.rename(new, self.wd0_path())

    def run(self, command: str, limit: float) -> None:
        """Has the shell run a command."""
        self.steps += 1
        # What the terminal echoes does not look like what the shell prints.
        end = f"echo ==end-{self.steps}==$s=="
        self.child.send(f"{command} </dev/null; s=$?; {end}\n")
        marker = rf"==end-{self.steps}==(\d+)=="
        ended = self.wait(marker, limit)
        if ended == "limit":
            # A message of the kernel may have torn the line.
            self.child.send(f"\n{end}\n")
            ended = self.wait(marker, 5)
        if ended == "status":
            status = int(self.child.match.group(1))
            answer(ended=ended, status=status, console=self.console.take())
        else:
            self.end(ended)

    def shut_down(self) -> None:
        """Halts the guest."""
        self.child.timeout = CONFIG.boot_limit
        self.halt()
        answer(ended="status", status=0, console=self.console.take())

    def wait(self, marker: str, limit: float) -> str:
        """Waits for what ends a command."""
        patterns = [marker, DDB, PANIC]
        deadline = time.monotonic() + limit
        while True:
            found = self.expect(patterns, deadline - time.monotonic())
            if found != PANIC:
                return {marker: "status", DDB: "ddb"}.get(found, found)
            # The trace, perhaps a dump, then the debugger or the end.
            patterns.remove(PANIC)
            deadline = time.monotonic() + DYING_SECONDS

    def end(self, ended: str) -> None:
        """Finds out what can be found out, ends QEMU, and says how it ended."""
        if ended == "limit":
            self.child.send(BREAK)
            stopped = self.wait_for_ddb(10)
        else:
            stopped = ended == "ddb"
        for command in DDB_COMMANDS if stopped else ():
            self.child.send(command + "\n")
            if not self.wait_for_ddb(30):
                break
        self.child.close()
        child = self.child
        if child.signalstatus is not None:
            qemu = f"signal {child.signalstatus}"
        else:
            qemu = f"exit status {child.exitstatus}"
        self.cleanup_child()
        answer(ended=ended, qemu=qemu, console=self.console.take())

    def wait_for_ddb(self, limit: float) -> bool:
        """Waits until the debugger asks for a command."""
        while (found := self.expect([DDB, MORE], limit)) == MORE:
            self.child.send(" ")
        return found == DDB

    def expect(self, patterns: list[str], limit: float) -> str:
        """The pattern that comes first, or "gone", or "limit"."""
        try:
            # As exceptions, for anita's log cannot deal with these two as patterns.
            found: int = self.child.expect(patterns, max(limit, 0), searchwindowsize=4096)
        except pexpect.TIMEOUT:
            return "limit"
        except pexpect.EOF:
            return "gone"
        return patterns[found]


def main() -> None:
    """Answers requests until there are no more."""
    guest = Guest()
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "boot":
            guest.start()
        elif request["do"] == "run":
            guest.run(request["command"], request["limit"])
        elif request["do"] == "halt":
            guest.shut_down()
        else:
            raise ValueError(f"no such request: {line}")
    if guest.child is not None:
        guest.child.close()


if __name__ == "__main__":
    main()
