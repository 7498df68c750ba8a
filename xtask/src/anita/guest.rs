//! The guest, as far as the driver knows it: `etc/anita/guest.py` does the
//! talking.

use crate::paths;
use anyhow::{bail, ensure, Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

/// Something that commands can be run on, one after another.
pub trait Guest {
    /// Starts it, and logs in.
    fn boot(&mut self) -> Result<Answer>;
    /// Has its shell run a command.
    fn run(&mut self, command: &str, limit: Duration) -> Result<Answer>;
    /// Halts it.
    fn halt(&mut self) -> Result<Answer>;
}

/// What came of it. After any end but a status, the guest has to be booted
/// again.
#[derive(Deserialize, Debug, Clone)]
pub struct Answer {
    /// How it ended.
    #[serde(flatten)]
    pub end: End,
    /// How QEMU ended, if it did.
    pub qemu: Option<String>,
    /// What came from the console meanwhile, and from the debugger.
    pub console: String,
}

/// How a command ended.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(tag = "ended", rename_all = "lowercase")]
pub enum End {
    /// By itself.
    Status {
        /// With this exit status.
        status: i32,
    },
    /// The kernel's debugger came.
    Ddb,
    /// QEMU ended.
    Gone,
    /// Not within its limit.
    Limit,
}

/// What `guest.py` is started with; its class of this name describes the
/// fields.
#[derive(Serialize)]
#[allow(missing_docs)]
pub struct Config<'a> {
    pub module: Option<&'a Path>,
    pub release: Option<&'a str>,
    pub workdir: &'a Path,
    pub image: Option<&'a Path>,
    pub arch: &'a str,
    pub memory: &'a str,
    pub disks: &'a str,
    pub share: &'a Path,
    pub vmm_args: &'a [String],
    pub boot_args: &'a [String],
    pub console: &'a Path,
    pub boot_limit: u64,
}

/// A guest that anita installs and boots.
pub struct Anita {
    python: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Anita {
    /// Starts the program that talks with it, not yet the guest.
    pub fn start(config: &Config<'_>) -> Result<Anita> {
        let program = paths::etc("anita").join("guest.py");
        let mut command = Command::new("python3");
        command
            .arg(&program)
            .arg(serde_json::to_string(config)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // There anita says what it does.
            .stderr(Stdio::inherit());
        let mut python = command
            .spawn()
            .context("cannot run python3, which anita is written in")?;
        let (requests, answers) = (python.stdin.take(), python.stdout.take());
        Ok(Anita {
            python,
            requests: requests.context("no pipe")?,
            answers: BufReader::new(answers.context("no pipe")?),
        })
    }

    fn ask(&mut self, request: &serde_json::Value) -> Result<Answer> {
        /// What the program says instead if a Python module is not there.
        #[derive(Deserialize)]
        struct Missing {
            missing: String,
            why: String,
        }
        // If it is gone, its last words say why.
        let _ = writeln!(self.requests, "{request}").and_then(|()| self.requests.flush());
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if let Ok(Missing { missing, why }) = serde_json::from_str(&line) {
            bail!("{}", advice(&missing, &why));
        }
        ensure!(
            !line.is_empty(),
            "guest.py ended with {}; what it printed says why",
            self.python.wait()?
        );
        serde_json::from_str(&line).with_context(|| format!("guest.py answered {line}"))
    }
}

impl Guest for Anita {
    fn boot(&mut self) -> Result<Answer> {
        self.ask(&json!({"do": "boot"}))
    }

    fn run(&mut self, command: &str, limit: Duration) -> Result<Answer> {
        self.ask(&json!({"do": "run", "command": command, "limit": limit.as_secs()}))
    }

    fn halt(&mut self) -> Result<Answer> {
        self.ask(&json!({"do": "halt"}))
    }
}

impl Drop for Anita {
    fn drop(&mut self) {
        // It closes the terminal that QEMU runs on when it ends, which ends QEMU.
        let _ = self.python.kill();
        let _ = self.python.wait();
    }
}

/// How to get a Python module that is missing.
fn advice(module: &str, why: &str) -> String {
    match module {
        "pexpect" => format!(
            "Python has no module pexpect ({why}), which anita needs.\n\
             Install it: python3-pexpect of Debian, py-pexpect of pkgsrc, or pexpect of PyPI."
        ),
        _ => format!(
            "Python has no module anita ({why}).\n\
             It is the Automated NetBSD Installation and Test Application, not the package anita of PyPI.\n\
             Get it, and say with --anita (or PYTHONPATH) where it is:\n    \
             git clone https://github.com/gson1703/anita && cargo xtask anita --anita anita ...\n\
             or install misc/py-anita of pkgsrc."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of Python modules.
    fn modules(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("xtask-anita-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        for (file, text) in files {
            std::fs::write(dir.join(file), text).unwrap();
        }
        dir
    }

    fn start(module: &Path) -> Anita {
        start_with(module, "virtio", Some(&module.join("disk.img")))
    }

    fn start_with(module: &Path, disks: &str, image: Option<&Path>) -> Anita {
        Anita::start(&Config {
            module: Some(module),
            release: None,
            workdir: module,
            image,
            arch: "amd64",
            memory: "512M",
            disks,
            share: Path::new("share.img"),
            vmm_args: &[],
            boot_args: &[],
            console: &module.join("console.log"),
            boot_limit: 60,
        })
        .unwrap()
    }

    #[test]
    fn a_module_that_is_something_else_is_told_from_anita() {
        let dir = modules("other", &[("pexpect.py", ""), ("anita.py", "")]);
        let error = start(&dir).boot().unwrap_err().to_string();
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(error.contains("anita.py is something else"), "{error}");
        assert!(error.contains("github.com/gson1703/anita"), "{error}");
    }

    #[test]
    fn a_missing_pexpect_is_told_too() {
        let pexpect = "raise ImportError('not here', name='pexpect')";
        let dir = modules("none", &[("pexpect.py", pexpect)]);
        let error = start(&dir).boot().unwrap_err().to_string();
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(error.contains("python3-pexpect"), "{error}");
    }

    /// An anita whose QEMU is told what to say.
    const ANITA: &str = r##"
import os
import pexpect

def distribution(url): pass
def quote_prompt(text): pass

class Version: pass

class Anita:
    child = None
    def __init__(self, dist, **options):
        assert dist.arch() == "amd64"
        self.workdir = options["workdir"]
    def wd0_path(self):
        return self.workdir + "/wd0.img"
    def install(self):
        broken = os.path.exists(self.workdir + "/break-off")
        with open(self.wd0_path(), "x") as disk:
            disk.write("half" if broken else "whole")
        if broken:
            os._exit(1)
    def start_boot(self, args, install):
        assert not install
        child = pexpect.spawn()
        child.said = " ".join(args) + child.said
        self.configure_child(child)
    def qemu_disk_args(self, path, number, writable, snapshot):
        return ["-drive", "file=" + path.split("/")[-1]]
    def configure_child(self, child):
        child.log = self.unstructured_log_f
        self.child = child
    def shell_cmd(self, command):
        return 0
    def cleanup_child(self):
        self.child = None
"##;
    const PEXPECT: &str = r##"
import re

class TIMEOUT(Exception): pass
class EOF(Exception): pass

SAYS = {
    "true": "true </dev/null; echo ==end-1==$s==\r\nwell\r\n==end-1==7==\r\n# ",
    "panic": "\r\n[ 1.5] panic: at the disco\r\ntrace\r\n\r\ndb{1}> ",
    "bt": "main() at main\r\n--db_more--",
    " ": "\r\ndb{1}> ",
    "ps/w": None,
}

class spawn:
    ptyproc = type("ptyproc", (), {})()
    signalstatus, exitstatus = None, 3
    said = "\r\nNetBSD\r\nlogin: "
    def send(self, text):
        said = SAYS[text.split(" </dev/null")[0].strip() or " "]
        self.said = said
    def expect(self, patterns, timeout, searchwindowsize):
        if self.said is None:
            raise EOF
        found = [(match.start(), number, match) for number, pattern in enumerate(patterns)
                 if (match := re.search(pattern, self.said))]
        if not found:
            raise TIMEOUT
        _, number, self.match = min(found, key=lambda one: one[:2])
        self.log.write(self.said[:self.match.end()].encode())
        self.said = self.said[self.match.end():]
        return number
    def close(self):
        pass
"##;

    #[test]
    fn an_ide_disk_has_a_channel_of_its_own() {
        let dir = modules("disks", &[("pexpect.py", PEXPECT), ("anita.py", ANITA)]);
        for (disks, option) in [("ide", "index=2"), ("virtio", "if=virtio")] {
            let console = start_with(&dir, disks, Some(&dir.join("disk.img")))
                .boot()
                .unwrap()
                .console;
            let expected = format!("-drive file=share.img,{option}\nNetBSD\n");
            assert!(console.starts_with(&expected), "{console}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn an_installation_that_was_broken_off_is_begun_anew() {
        let files = [
            ("pexpect.py", PEXPECT),
            ("anita.py", ANITA),
            ("break-off", ""),
        ];
        let dir = modules("install", &files);
        let disk = dir.join("wd0.img");
        assert!(start_with(&dir, "ide", None).boot().is_err());
        assert!(!disk.exists());
        std::fs::remove_file(dir.join("break-off")).unwrap();
        // Then it is there, and is not installed again.
        for _ in 0..2 {
            let answer = start_with(&dir, "ide", None).boot().unwrap();
            assert_eq!(answer.end, End::Status { status: 0 });
            assert_eq!(std::fs::read_to_string(&disk).unwrap(), "whole");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_guest_answers_and_its_debugger_is_asked() {
        let dir = modules("stub", &[("pexpect.py", PEXPECT), ("anita.py", ANITA)]);
        let mut guest = start(&dir);
        let limit = Duration::from_secs(60);
        assert_eq!(guest.boot().unwrap().end, End::Status { status: 0 });
        let answer = guest.run("true", limit).unwrap();
        assert_eq!(answer.end, End::Status { status: 7 });
        assert!(answer.console.contains("\nwell\n"), "{answer:?}");
        let answer = guest.run("panic", limit).unwrap();
        assert_eq!(answer.end, End::Ddb);
        assert_eq!(answer.qemu.as_deref(), Some("exit status 3"));
        assert!(answer.console.contains("panic: at the disco"), "{answer:?}");
        assert!(answer.console.contains("main() at main"), "{answer:?}");
        let log = std::fs::read_to_string(dir.join("console.log")).unwrap();
        assert!(log.contains("login:") && log.contains("panic: "), "{log}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
