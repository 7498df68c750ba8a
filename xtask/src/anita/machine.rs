//! The machine: what is booted, in what, and with which module.

use super::{
    guest::{self, Config},
    session::{self, Plan},
    step::Step,
};
use crate::{
    arch::Arch,
    guest_tests::GuestTests,
    headers::Source,
    kmod::Kmod,
    paths,
    report::Run,
    runner::{self, Ended},
    setup, sh,
};
use anyhow::{bail, ensure, Context, Result};
use clap::{Args, ValueEnum};
use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    time::Duration,
};

/// What is booted, in what, and with which module.
#[derive(Args)]
pub struct Machine {
    /// The release to install: a URL or a directory that ends in the name of the port
    #[arg(long, value_name = "DIR-OR-URL")]
    release: Option<String>,
    /// anita's directory, with a system that it installed or will [default: target/anita/work]
    #[arg(long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// A disk image to boot instead: a system with a login on the serial console and no password
    /// for root. It is not changed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["release", "workdir"])]
    image: Option<PathBuf>,
    /// A kernel for QEMU to boot, instead of the system's own
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Where anita.py is, if Python does not find it
    #[arg(long, value_name = "DIR")]
    anita: Option<PathBuf>,

    /// The module [default: target/kmod/ARCH/puffs.kmod, made anew if --headers is given]
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// The port
    #[arg(long, value_enum, default_value_t = Arch::Amd64)]
    pub arch: Arch,
    /// The module putter [default: the guest's]
    #[arg(long, value_name = "FILE")]
    putter: Option<PathBuf>,
    /// The stock module [default: the guest's]
    #[arg(long, value_name = "FILE")]
    pub stock_module: Option<PathBuf>,

    /// Our tests as a program for the guest [default: made, as by cargo xtask guest-tests]
    #[arg(long, value_name = "FILE")]
    guest_tests: Option<PathBuf>,
    /// Where the guest's libraries are, to make a static program of our tests
    #[arg(long, value_name = "DIR", conflicts_with = "guest_tests")]
    sysroot: Option<PathBuf>,

    /// What the guest's disks are
    #[arg(long, value_enum, default_value_t = Disks::Ide)]
    disks: Disks,
    /// What runs the guest's code
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    accel: Accel,
    /// How many processors the guest has
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub cpus: u32,
    /// How much memory it has
    #[arg(long, default_value = "512M", value_name = "SIZE")]
    memory: String,
    /// More arguments for QEMU, split at spaces
    #[arg(
        long,
        value_name = "ARGS",
        allow_hyphen_values = true,
        default_value = ""
    )]
    vmm_args: String,
    /// How long a boot may take, in seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    boot_limit: u64,
}

/// How disks are attached.
#[derive(Clone, Copy, ValueEnum)]
enum Disks {
    /// As anita does, which every kernel knows: wd0 and wd1
    Ide,
    /// ld0 and ld1, which is faster
    Virtio,
}

impl Disks {
    fn name(self) -> &'static str {
        match self {
            Disks::Ide => "ide",
            Disks::Virtio => "virtio",
        }
    }

    /// The second disk as a whole, in the guest.
    fn share(self) -> &'static str {
        match self {
            Disks::Ide => "/dev/rwd1d",
            Disks::Virtio => "/dev/rld1d",
        }
    }
}

/// What runs the guest's code.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// KVM where it can be had, else QEMU itself
    Auto,
    /// The host's processor
    Kvm,
    /// QEMU itself
    Tcg,
    /// QEMU itself, and the guest's clock counts instructions, one for each nanosecond: time is
    /// the same at each run, whatever else the host does
    Icount,
}

impl Accel {
    /// QEMU's arguments for what of it is used here.
    fn choose(self, qemu: &str, work: &Path) -> Result<&'static [&'static str]> {
        Ok(match self {
            Accel::Kvm => &["-accel", "kvm"],
            Accel::Auto if kvm_works(qemu, work)? => &["-accel", "kvm"],
            Accel::Auto | Accel::Tcg => &["-accel", "tcg,thread=multi"],
            Accel::Icount => &[
                "-accel",
                "tcg,thread=single",
                "-icount",
                "shift=0,sleep=off",
            ],
        })
    }
}

/// Is there a KVM that is good for something? Not each that can be opened is: in
/// some virtual machines it is an interpreter, and slower than QEMU.
fn kvm_works(qemu: &str, work: &Path) -> Result<bool> {
    /// What a processor does in a fraction of a second, and an interpreter does
    /// not in many: it counts down from 2^28. Then QEMU exits with 2 * 1 + 1.
    #[rustfmt::skip]
    const PROGRAM: [u8; 16] = [
        0x66, 0xb9, 0x00, 0x00, 0x00, 0x10, // mov ecx, 0x10000000
        0x66, 0x49,                         // dec ecx
        0x75, 0xfc,                         // jnz to the dec
        0xba, 0xf4, 0x00,                   // mov dx, 0xf4
        0xb0, 0x01,                         // mov al, 1
        0xee,                               // out dx, al
    ];
    const LIMIT: Duration = Duration::from_secs(5);
    if !Path::new("/dev/kvm").exists() {
        return Ok(false);
    }
    let mut sector = [0; 512];
    sector[..PROGRAM.len()].copy_from_slice(&PROGRAM);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    let disk = work.join("kvm-works.img");
    sh::write(&disk, sector)?;
    let mut command = sh::cmd(qemu);
    command
        .args([
            "-accel",
            "kvm",
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=4",
        ])
        .args(["-display", "none", "-nic", "none", "-no-reboot", "-drive"])
        .arg(format!("file={},format=raw,if=ide", disk.display()));
    Ok(match runner::run_limited(&mut command, LIMIT)? {
        Ended::Badly(output) => output.contains("exit status: 3"),
        Ended::Well | Ended::Late(_) => false,
    })
}

/// Where a guest unpacks what it gets.
const SHARE: &str = "/tmp/puffs-anita";

/// Whose module a guest is to load.
pub struct Library {
    /// What it is called.
    pub name: &'static str,
    /// The module, if it is not the guest's.
    module: Option<PathBuf>,
}

/// What a guest is to do, whatever the library.
pub struct Load<'a> {
    /// The steps, in their order.
    pub steps: &'a [Step],
    /// A directory of programs to hand over.
    pub programs: Option<&'a Path>,
    /// A directory with our library for the guest's rump kernels.
    pub rump: Option<&'a Path>,
}

/// A machine for which there is all that it takes to boot.
pub struct Ready<'a> {
    machine: &'a Machine,
    /// Ours.
    pub ours: Library,
    /// The one to compare with.
    pub stock: Library,
    /// Our tests, if they are handed over.
    tests: Option<PathBuf>,
    /// QEMU's arguments for what runs the guest's code.
    accel: &'static [&'static str],
    /// Where all that a run needs and leaves is.
    work: PathBuf,
    _lock: File,
}

impl Machine {
    /// Gets what is needed to boot it, into the directory `work` of target; with
    /// our tests, if they are to be handed over.
    pub fn ready(&self, work: &str, source: &Source, tests: bool) -> Result<Ready<'_>> {
        ensure!(
            self.image.is_some() || self.release.is_some() || self.workdir.is_some(),
            "what is to be booted? Give --release, --workdir or --image"
        );
        ensure!(
            matches!(self.arch, Arch::Amd64 | Arch::I386),
            "there is no guest of {} yet",
            self.arch
        );
        let qemu = self.qemu();
        setup::guest_tools(qemu)?;
        if self.release.is_some() {
            setup::iso_tools()?;
        }
        let work = paths::target().join(work);
        let lock = sh::lock(&work)?;
        Ok(Ready {
            machine: self,
            ours: Library {
                name: "ours",
                module: Some(self.our_module(source)?),
            },
            stock: Library {
                name: "stock",
                module: self.stock_module.clone(),
            },
            tests: self.our_tests(tests, &work)?,
            accel: self.accel.choose(qemu, &work)?,
            work,
            _lock: lock,
        })
    }

    /// The module that is tested.
    fn our_module(&self, source: &Source) -> Result<PathBuf> {
        if let Some(module) = &self.module {
            return Ok(module.clone());
        }
        let work = paths::target().join("kmod").join(self.arch.to_string());
        let module = work.join("puffs.kmod");
        if let Some(headers) = &source.headers {
            Kmod::of_tree(headers, self.arch, &source.options, &module).run()?;
        }
        ensure!(
            module.is_file(),
            "{} is not there; give --headers to have it made, or --module",
            module.display()
        );
        Ok(module)
    }

    /// Our tests, if they are wanted or given.
    fn our_tests(&self, wanted: bool, work: &Path) -> Result<Option<PathBuf>> {
        if let Some(program) = &self.guest_tests {
            return Ok(Some(program.clone()));
        }
        if !wanted {
            return Ok(None);
        }
        GuestTests::of(work, self.sysroot.as_deref()).run()?;
        Ok(Some(work.join("puffs-guest")))
    }

    /// The arguments that say what it is, without whose files they name.
    pub fn command(&self) -> String {
        let files = [
            ("release", self.release.is_some()),
            ("workdir", self.workdir.is_some()),
            ("image", self.image.is_some()),
            ("kernel", self.kernel.is_some()),
            ("putter", self.putter.is_some()),
            ("module", self.module.is_some()),
            ("stock-module", self.stock_module.is_some()),
        ];
        let files = files.iter().filter(|(_, given)| *given);
        let mut command: String = files.map(|(name, _)| format!(" --{name} FILE")).collect();
        let names = [
            self.accel.to_possible_value(),
            self.disks.to_possible_value(),
        ];
        for (name, value) in ["accel", "disks"].iter().zip(names.iter().flatten()) {
            command += &format!(" --{name} {}", value.get_name());
        }
        command += &format!(" --cpus {} --memory {}", self.cpus, self.memory);
        if !self.vmm_args.is_empty() {
            command += &format!(" --vmm-args {:?}", self.vmm_args);
        }
        command
    }

    /// Does the guest's clock count instructions?
    pub fn counts_instructions(&self) -> bool {
        self.accel == Accel::Icount || self.vmm_args.contains("-icount")
    }

    /// What the results depend on.
    pub fn facts(&self, ready: &Ready<'_>) -> Vec<(String, String)> {
        let path = |path: &Path| path.display().to_string();
        let system = match (&self.image, &self.release, &self.workdir) {
            (Some(image), ..) => path(image),
            (None, Some(release), _) => release.clone(),
            (None, None, Some(workdir)) => path(workdir),
            (None, None, None) => String::new(),
        };
        let mut facts = vec![("system".to_owned(), system)];
        if let Some(kernel) = &self.kernel {
            facts.push(("kernel".into(), path(kernel)));
        }
        facts.push(("QEMU".into(), ready.qemu()));
        facts
    }

    fn qemu(&self) -> &'static str {
        match self.arch {
            Arch::I386 => "qemu-system-i386",
            _ => "qemu-system-x86_64",
        }
    }
}

impl Ready<'_> {
    /// QEMU's version, and what runs the guest's code.
    pub fn qemu(&self) -> String {
        let version = sh::output(sh::cmd(self.machine.qemu()).arg("--version"));
        let version = version.unwrap_or_default();
        let version = version.lines().next().unwrap_or_default();
        format!("{version}, {}", self.accel.join(" "))
    }

    /// The log of a guest's console.
    pub fn console_log(&self, library: &Library) -> PathBuf {
        self.work.join(format!("console-{}.log", library.name))
    }

    /// Has a guest go through the steps.
    pub fn play(&self, library: &Library, load: &Load<'_>) -> Result<Run> {
        let machine = self.machine;
        sh::say(format!("{}: preparing the second disk", library.name));
        let share = self.share(library, load)?;
        let console = self.console_log(library);
        sh::write(&console, "")?;
        sh::say(format!(
            "{}: {} steps; the console: {}",
            library.name,
            load.steps.len(),
            console.display()
        ));

        let owned = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
        let mut vmm_args = owned(self.accel);
        let cpus = machine.cpus.to_string();
        vmm_args.extend(owned(&["-smp", &cpus, "-nic", "none"]));
        vmm_args.extend(machine.vmm_args.split_whitespace().map(str::to_owned));
        // A guest that reboots has panicked.
        let mut boot_args = owned(&["-no-reboot"]);
        let absolute = |path: &Path| {
            path.canonicalize()
                .with_context(|| format!("there is no {}", path.display()))
        };
        let kernel = machine.kernel.as_deref().map(absolute).transpose()?;
        if let Some(kernel) = &kernel {
            boot_args.extend(owned(&["-kernel", &kernel.to_string_lossy()]));
        }
        let image = machine.image.as_deref().map(absolute).transpose()?;
        let module = machine.anita.as_deref().map(absolute).transpose()?;
        let release = machine.release.as_deref().map(release).transpose()?;
        let workdir = machine
            .workdir
            .clone()
            .unwrap_or_else(|| self.work.join("work"));
        sh::mkdir(&workdir)?;
        let workdir = absolute(&workdir)?;
        ensure!(
            image.is_some() || release.is_some() || workdir.join("wd0.img").is_file(),
            "{} has no wd0.img: anita installed nothing there",
            workdir.display()
        );
        let mut guest = guest::Anita::start(&Config {
            module: module.as_deref(),
            release: release.as_deref(),
            workdir: &workdir,
            image: image.as_deref(),
            arch: &machine.arch.to_string(),
            memory: &machine.memory,
            disks: machine.disks.name(),
            share: &share,
            vmm_args: &vmm_args,
            boot_args: &boot_args,
            console: &console,
            boot_limit: machine.boot_limit,
        })?;
        let unpack = format!(
            "rm -rf {SHARE} && mkdir {SHARE} && cd {SHARE} && tar xf {}",
            machine.disks.share()
        );
        let outcomes = session::run(
            &mut guest,
            &Plan {
                library: library.name,
                boot_limit: Duration::from_secs(machine.boot_limit),
                unpack,
                steps: load.steps,
            },
        )?;
        Ok(Run {
            on: "guest".into(),
            netbsd: outcomes.netbsd,
            library: library.name.into(),
            results: outcomes.results,
        })
    }

    /// Makes the second disk: an archive that begins where the disk does.
    fn share(&self, library: &Library, load: &Load<'_>) -> Result<PathBuf> {
        let work = &self.work;
        let dir = work.join("share");
        sh::fresh_dir(&dir)?;
        let copy = |from: &Path, to: &str| -> Result<()> {
            let to = dir.join(to);
            std::fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
            Ok(())
        };
        copy(&paths::etc("anita").join("lib.sh"), "lib.sh")?;
        sh::mkdir(&dir.join("steps"))?;
        for step in load.steps {
            sh::write(&dir.join(format!("steps/{}.sh", step.name)), &step.script)?;
        }
        let mut module = "puffs";
        if let Some(file) = &library.module {
            module = "./puffs.kmod";
            copy(file, "puffs.kmod")?;
        }
        let mut putter = "putter";
        if let Some(file) = &self.machine.putter {
            putter = "./putter.kmod";
            copy(file, "putter.kmod")?;
        }
        let bin = dir.join("bin");
        sh::mkdir(&bin)?;
        if let Some(programs) = load.programs {
            copy_files(programs, &bin)?;
        }
        if let Some(program) = &self.tests {
            copy(program, "bin/puffs-guest")?;
        }
        if let Some(rump) = load.rump {
            sh::mkdir(&dir.join("rump"))?;
            copy_files(rump, &dir.join("rump"))?;
        }
        sh::write(
            &dir.join("env.sh"),
            format!(
                "LIBRARY={}\nMODULE={module}\nPUTTER={putter}\n",
                library.name
            ),
        )?;
        let archive = work.join(format!("share-{}.img", library.name));
        sh::output(
            sh::cmd("tar")
                .args(["--format=ustar", "--owner=0", "--group=0", "-cf"])
                .arg(&archive)
                .arg("-C")
                .arg(&dir)
                .arg("."),
        )?;
        // A disk of whole cylinders, whatever these are.
        let size = std::fs::metadata(&archive)?.len().next_multiple_of(1 << 20);
        OpenOptions::new()
            .write(true)
            .open(&archive)?
            .set_len(size)?;
        Ok(archive)
    }
}

/// A release as anita wants it named: with a slash at its end, a directory with
/// its whole path.
fn release(name: &str) -> Result<String> {
    let mut name = match name.contains("://") {
        true => name.to_owned(),
        false => match Path::new(name).canonicalize() {
            Ok(dir) => dir.to_string_lossy().into_owned(),
            Err(error) => bail!("there is no release {name}: {error}"),
        },
    };
    if !name.ends_with('/') {
        name.push('/');
    }
    Ok(name)
}

/// Copies the files of a directory, with what links there lead to.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    let entries = from
        .read_dir()
        .with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.path().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
