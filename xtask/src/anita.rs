//! `cargo xtask anita`: the module in NetBSD itself.
//!
//! anita, NetBSD's own driver of such tests, installs a release or takes what
//! is installed, and boots it in QEMU. The guest gets the module and the tests
//! on a second disk and goes through the [steps](step). Which ones is told by
//! `etc/anita/steps`; what came of them is told by the exit status of each, and
//! by the [console] of a guest that did not survive one.

mod console;
mod guest;
mod pools;
mod results;
mod session;
mod step;

use crate::{
    arch::Arch,
    guest_tests::GuestTests,
    kmod::Kmod,
    paths,
    report::{Outputs, Report, Run},
    runner::{self, Ended},
    setup, sh,
};
use anyhow::{bail, ensure, Context, Result};
use clap::{Args, ValueEnum};
use guest::Config;
use session::Plan;
use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use step::{Output, Step};

/// Runs everything in a NetBSD guest, by anita and QEMU
#[derive(Args)]
pub struct Anita {
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
    #[arg(long, value_name = "FILE", conflicts_with = "headers")]
    module: Option<PathBuf>,
    /// The kernel's source tree, to make the module
    #[arg(long, value_name = "DIR")]
    headers: Option<PathBuf>,
    /// A kernel option to compile the shim with, if the module is made
    #[arg(short = 'D', long = "option", value_name = "NAME[=VALUE]")]
    options: Vec<String>,
    /// The port
    #[arg(long, value_enum, default_value_t = Arch::Amd64)]
    arch: Arch,
    /// The module putter [default: the guest's]
    #[arg(long, value_name = "FILE")]
    putter: Option<PathBuf>,
    /// Do everything with the stock module as well
    #[arg(long)]
    stock: bool,
    /// The stock module [default: the guest's]
    #[arg(long, value_name = "FILE", requires = "stock")]
    stock_module: Option<PathBuf>,

    /// Our tests as a program for the guest [default: made, as by cargo xtask guest-tests]
    #[arg(long, value_name = "FILE")]
    guest_tests: Option<PathBuf>,
    /// Where the guest's libraries are, to make a static program of our tests
    #[arg(long, value_name = "DIR", conflicts_with = "guest_tests")]
    sysroot: Option<PathBuf>,
    /// A directory of programs to hand over, of servers, say; they come before the guest's own
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// A directory with our librumpfs_syspuffs for the guest: its /usr/tests of puffs run on a rump
    /// kernel, not on the module
    #[arg(long, value_name = "DIR")]
    rump: Option<PathBuf>,
    /// A step to do beside those of etc/anita/steps, or a directory of steps; the turn of each is
    /// where its name stands among theirs
    #[arg(long = "step", value_name = "FILE-OR-DIR")]
    extra: Vec<PathBuf>,

    /// What the guest's disks are
    #[arg(long, value_enum, default_value_t = Disks::Ide)]
    disks: Disks,
    /// What runs the guest's code
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    accel: Accel,
    /// How many processors the guest has
    #[arg(long, default_value_t = 2, value_name = "N")]
    cpus: u32,
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
    /// Take so many times the limit of each step, for a slow machine
    #[arg(long, default_value_t = 1, value_name = "N")]
    patience: u32,

    #[command(flatten)]
    outputs: Outputs,
    /// Do only steps whose names contain one of these, and what is done after each boot
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
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
enum Accel {
    /// KVM where it can be had, else QEMU itself
    Auto,
    /// The host's processor
    Kvm,
    /// QEMU itself
    Tcg,
}

impl Accel {
    /// What of it is used here, as QEMU names it.
    fn choose(self, qemu: &str, work: &Path) -> Result<&'static str> {
        const TCG: &str = "tcg,thread=multi";
        Ok(match self {
            Accel::Kvm => "kvm",
            Accel::Auto if kvm_works(qemu, work)? => "kvm",
            Accel::Auto | Accel::Tcg => TCG,
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
struct Library {
    name: &'static str,
    /// The module, if it is not the guest's.
    module: Option<PathBuf>,
}

/// What is the same for each library.
struct Setting {
    steps: Vec<Step>,
    /// Our tests, if there are any for the guest.
    tests: Option<PathBuf>,
    accel: &'static str,
    /// Where all that a run needs and leaves is.
    work: PathBuf,
}

impl Anita {
    /// Runs the steps.
    pub fn run(&self) -> Result<()> {
        ensure!(
            self.image.is_some() || self.release.is_some() || self.workdir.is_some(),
            "what is to be booted? Give --release, --workdir or --image"
        );
        ensure!(
            matches!(self.arch, Arch::Amd64 | Arch::I386),
            "there is no guest of {} yet",
            self.arch
        );
        let steps = self.steps()?;
        let qemu = self.qemu();
        setup::guest_tools(qemu)?;
        let work = paths::target().join("anita");
        let _lock = sh::lock(&work)?;
        let accel = self.accel.choose(qemu, &work)?;
        let mut libraries = vec![Library {
            name: "ours",
            module: Some(self.our_module()?),
        }];
        if self.stock {
            libraries.push(Library {
                name: "stock",
                module: self.stock_module.clone(),
            });
        }
        let setting = Setting {
            tests: self.our_tests(&steps, &work)?,
            steps,
            accel,
            work,
        };
        let mut facts = self.facts(accel);
        let mut runs = Vec::new();
        for library in &libraries {
            let begun = Instant::now();
            let run = self.play(library, &setting)?;
            let log = console_log(&setting.work, library);
            facts.push((
                format!("console, {}", library.name),
                log.display().to_string(),
            ));
            let seconds = begun.elapsed().as_secs();
            facts.push((format!("time, {}", library.name), format!("{seconds} s")));
            runs.push(run);
        }
        self.outputs.finish(&Report {
            title: "puffs in a NetBSD guest".into(),
            facts,
            runs,
        })
    }

    /// The steps, in their order.
    fn steps(&self) -> Result<Vec<Step>> {
        let mut steps = Step::read_all(&paths::etc("anita").join("steps"))?;
        for file in &self.extra {
            if file.is_dir() {
                steps.extend(Step::read_all(file)?);
            } else {
                steps.push(Step::read(file)?);
            }
        }
        steps.sort_by(|a, b| a.order.cmp(&b.order));
        for pair in steps.windows(2) {
            ensure!(
                pair[0].name != pair[1].name,
                "two steps are called {}",
                pair[0].name
            );
        }
        for step in &mut steps {
            step.limit *= self.patience;
        }
        let filters = &self.filters;
        steps.retain(|step| {
            let wanted = |filter: &String| step.name.contains(filter);
            step.each_boot || filters.is_empty() || filters.iter().any(wanted)
        });
        Ok(steps)
    }

    /// The module that is tested.
    fn our_module(&self) -> Result<PathBuf> {
        if let Some(module) = &self.module {
            return Ok(module.clone());
        }
        let work = paths::target().join("kmod").join(self.arch.to_string());
        let module = work.join("puffs.kmod");
        if let Some(headers) = &self.headers {
            Kmod::of_tree(headers, self.arch, &self.options, &module).run()?;
        }
        ensure!(
            module.is_file(),
            "{} is not there; give --headers to have it made, or --module",
            module.display()
        );
        Ok(module)
    }

    /// Our tests, if a step wants them and they can be had.
    fn our_tests(&self, steps: &[Step], work: &Path) -> Result<Option<PathBuf>> {
        if let Some(program) = &self.guest_tests {
            return Ok(Some(program.clone()));
        }
        if self.arch != Arch::Amd64 || !steps.iter().any(|step| step.output == Output::Tap) {
            return Ok(None);
        }
        GuestTests::of(work, self.sysroot.as_deref()).run()?;
        Ok(Some(work.join("puffs-guest")))
    }

    fn facts(&self, accel: &str) -> Vec<(String, String)> {
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
        let qemu = sh::output(sh::cmd(self.qemu()).arg("--version")).unwrap_or_default();
        let qemu = qemu.lines().next().unwrap_or_default();
        facts.push(("QEMU".into(), format!("{qemu}, {accel}")));
        facts
    }

    fn qemu(&self) -> &'static str {
        match self.arch {
            Arch::I386 => "qemu-system-i386",
            _ => "qemu-system-x86_64",
        }
    }

    /// Has a guest go through the steps.
    fn play(&self, library: &Library, setting: &Setting) -> Result<Run> {
        let work = &setting.work;
        sh::say(format!("{}: preparing the second disk", library.name));
        let share = self.share(library, setting)?;
        let console = console_log(work, library);
        sh::write(&console, "")?;
        sh::say(format!(
            "{}: {} steps; the console: {}",
            library.name,
            setting.steps.len(),
            console.display()
        ));

        let owned = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
        let cpus = self.cpus.to_string();
        let mut vmm_args = owned(&["-accel", setting.accel, "-smp", &cpus, "-nic", "none"]);
        vmm_args.extend(self.vmm_args.split_whitespace().map(str::to_owned));
        // A guest that reboots has panicked.
        let mut boot_args = owned(&["-no-reboot"]);
        let absolute = |path: &Path| {
            path.canonicalize()
                .with_context(|| format!("there is no {}", path.display()))
        };
        let kernel = self.kernel.as_deref().map(absolute).transpose()?;
        if let Some(kernel) = &kernel {
            boot_args.extend(owned(&["-kernel", &kernel.to_string_lossy()]));
        }
        let image = self.image.as_deref().map(absolute).transpose()?;
        let module = self.anita.as_deref().map(absolute).transpose()?;
        let release = self.release.as_deref().map(release).transpose()?;
        let workdir = self.workdir.clone().unwrap_or_else(|| work.join("work"));
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
            arch: &self.arch.to_string(),
            memory: &self.memory,
            disks: self.disks.name(),
            share: &share,
            vmm_args: &vmm_args,
            boot_args: &boot_args,
            console: &console,
            boot_limit: self.boot_limit,
        })?;
        let unpack = format!(
            "rm -rf {SHARE} && mkdir {SHARE} && cd {SHARE} && tar xf {}",
            self.disks.share()
        );
        let outcomes = session::run(
            &mut guest,
            &Plan {
                library: library.name,
                boot_limit: Duration::from_secs(self.boot_limit),
                unpack,
                steps: &setting.steps,
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
    fn share(&self, library: &Library, setting: &Setting) -> Result<PathBuf> {
        let work = &setting.work;
        let dir = work.join("share");
        sh::fresh_dir(&dir)?;
        let copy = |from: &Path, to: &str| -> Result<()> {
            let to = dir.join(to);
            std::fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
            Ok(())
        };
        copy(&paths::etc("anita").join("lib.sh"), "lib.sh")?;
        sh::mkdir(&dir.join("steps"))?;
        for step in &setting.steps {
            sh::write(&dir.join(format!("steps/{}.sh", step.name)), &step.script)?;
        }
        let mut module = "puffs";
        if let Some(file) = &library.module {
            module = "./puffs.kmod";
            copy(file, "puffs.kmod")?;
        }
        let mut putter = "putter";
        if let Some(file) = &self.putter {
            putter = "./putter.kmod";
            copy(file, "putter.kmod")?;
        }
        let bin = dir.join("bin");
        sh::mkdir(&bin)?;
        if let Some(programs) = &self.programs {
            copy_files(programs, &bin)?;
        }
        if let Some(program) = &setting.tests {
            copy(program, "bin/puffs-guest")?;
        }
        if let Some(rump) = &self.rump {
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

/// The log of a guest's console.
fn console_log(work: &Path, library: &Library) -> PathBuf {
    work.join(format!("console-{}.log", library.name))
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
