//! NetBSD's own test programs, as they are installed under `/usr/tests`.
//!
//! They are written with ATF: such a program lists its cases with what they
//! need (`-l`), and runs one of them in the current directory, whose result it
//! puts into a file (`-r`). See atf-test-program(1) and atf-test-case(4).
//! Where kyua(1) is installed and knows the tests, it runs each of the cases;
//! elsewhere this does. (atf-run(1) knows whole directories only.)

use crate::{
    report::{Outcome, TestResult},
    sh,
};
use anyhow::{ensure, Context, Result};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The variables that make a program load one library or another.
pub type Environment = [(&'static str, OsString)];

/// How long a program has to end when it is told to.
const GRACE: Duration = Duration::from_secs(5);

/// The cases for puffs among the tests that are installed.
pub struct Tests {
    /// The cases.
    pub cases: Vec<Case>,
    /// The file by which kyua knows them, if that is there and works.
    kyuafile: Option<PathBuf>,
}

/// A test case.
pub struct Case {
    /// The program that has it.
    program: PathBuf,
    /// The program as one names it: `fs/vfs/t_io`.
    suite: String,
    /// Its name there.
    name: String,
    /// What the program says of it.
    metadata: BTreeMap<String, String>,
}

/// The directories that have tests of puffs, and whether others are there too.
const DIRECTORIES: [(&str, bool); 2] = [("fs/puffs", false), ("fs/vfs", true)];

/// How long a case may take that does not say.
const TIMEOUT: Duration = Duration::from_secs(300);

impl Tests {
    /// Those that are installed in `root`.
    pub fn find(root: &Path, environment: &Environment) -> Result<Self> {
        let mut cases = Vec::new();
        for (dir, mixed) in DIRECTORIES {
            for program in programs(&root.join(dir))? {
                let name = program.file_name().unwrap_or_default().to_string_lossy();
                let suite = format!("{dir}/{name}");
                let text = sh::output(command(&program, environment).arg("-l"))?;
                let listed = parse_list(&text).with_context(|| format!("{suite} -l"))?;
                cases.extend(
                    listed
                        .into_iter()
                        .filter(|(name, metadata)| !mixed || is_of_puffs(name, metadata))
                        .map(|(name, metadata)| Case {
                            program: program.clone(),
                            suite: suite.clone(),
                            name,
                            metadata,
                        }),
                );
            }
        }
        ensure!(
        !cases.is_empty(),
        "{} has no tests of puffs: it should look like /usr/tests, with fs/puffs and fs/vfs in it",
        root.display()
    );
        let kyuafile = root.join("Kyuafile");
        let works = sh::on_path("kyua") && kyuafile.is_file() && {
            let mut kyua = kyua(environment);
            let list = kyua.arg("list").arg("--kyuafile").arg(&kyuafile);
            sh::works(list.arg(&cases[0].suite))
        };
        Ok(Self {
            cases,
            kyuafile: works.then_some(kyuafile),
        })
    }

    /// What runs the cases.
    pub fn runner(&self) -> &'static str {
        if self.kyuafile.is_some() {
            "kyua"
        } else {
            "xtask"
        }
    }

    /// Runs one of the cases, in the directory `work` that it has to itself.
    /// One that does not say how long it may take has the time `limit`.
    pub fn run(
        &self,
        case: &Case,
        environment: &Environment,
        work: &Path,
        limit: Duration,
    ) -> Result<TestResult> {
        sh::fresh_dir(work)?;
        let limit = case.timeout(limit);
        let begun = Instant::now();
        let (outcome, output) = match (case.missing(), &self.kyuafile) {
            (Some(what), _) => (Outcome::Skip(what), String::new()),
            (None, Some(file)) => case.run_by_kyua(file, environment, work, limit)?,
            (None, None) => case.run(environment, work, limit)?,
        };
        // What a case that failed leaves is worth a look.
        if matches!(outcome, Outcome::Pass | Outcome::Skip(_)) {
            fs::remove_dir_all(work)?;
        }
        Ok(TestResult {
            suite: case.suite.clone(),
            name: case.name.clone(),
            outcome,
            seconds: begun.elapsed().as_secs_f64(),
            output,
        })
    }
}

/// Kyua.
fn kyua(environment: &Environment) -> Command {
    let mut command = sh::cmd("kyua");
    command.envs(environment.iter().cloned());
    // The log of all that it did would go to the user's home.
    command.arg("--logfile=/dev/null");
    command
}

/// The test programs in a directory.
fn programs(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut programs = Vec::new();
    if dir.is_dir() {
        for file in fs::read_dir(dir)? {
            let file = file?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("t_") && file.is_file() {
                // Programs change the directory.
                programs.push(file.canonicalize()?);
            }
        }
    }
    programs.sort();
    Ok(programs)
}

/// A test program, to be run as ATF says.
fn command(program: &Path, environment: &Environment) -> Command {
    let mut command = sh::cmd(program);
    command
        .envs(environment.iter().cloned())
        .env("TZ", "UTC")
        // Without it, a program warns that it is run by hand.
        .env("__RUNNING_INSIDE_ATF_RUN", "internal-yes-value")
        .arg("-s")
        .arg(program.parent().unwrap_or(Path::new(".")));
    for name in [
        "LANG",
        "LC_ALL",
        "LC_COLLATE",
        "LC_CTYPE",
        "LC_MESSAGES",
        "LC_TIME",
    ] {
        command.env_remove(name);
    }
    command
}

/// The cases that a program lists, with what it says of them.
fn parse_list(text: &str) -> Result<Vec<(String, BTreeMap<String, String>)>> {
    let mut cases: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let pair = line.split_once(": ");
        let (name, value) = pair.with_context(|| format!("{line:?} is no property"))?;
        match (name, cases.last_mut()) {
            ("ident", _) => cases.push((value.to_owned(), BTreeMap::new())),
            (_, Some((_, metadata))) => {
                metadata.insert(name.to_owned(), value.to_owned());
            }
            ("Content-Type", None) => {}
            (_, None) => anyhow::bail!("{line:?} is of no case"),
        }
    }
    Ok(cases)
}

/// Is that a case of puffs among those of all file systems? They say of which
/// they are.
fn is_of_puffs(name: &str, metadata: &BTreeMap<String, String>) -> bool {
    let of_puffs = |name: &str| name.starts_with("puffs") || name.starts_with("p2k_");
    of_puffs(metadata.get("X-fs.type").map_or(name, String::as_str))
}

/// Checks that a program loads the library `name` from the directory `dir`:
/// else all would be found out about another one.
pub fn check_loads(case: &Case, environment: &Environment, name: &str, dir: &Path) -> Result<()> {
    let mut ldd = sh::cmd("ldd");
    let text = sh::output(ldd.envs(environment.iter().cloned()).arg(&case.program))?;
    let loaded = loaded_from(&text, name);
    let loaded = loaded.with_context(|| format!("{} does not load {name}", case.suite))?;
    let loaded = loaded.canonicalize()?;
    let wanted = dir.canonicalize()?;
    ensure!(
        loaded.starts_with(&wanted),
        "{} loads {}, and not what is in {}",
        case.suite,
        loaded.display(),
        wanted.display()
    );
    Ok(())
}

/// The library's file in what ldd(1) prints.
fn loaded_from(text: &str, name: &str) -> Option<PathBuf> {
    // NetBSD's ldd leaves out "lib" and ".so".
    let short = format!("-l{}", name.strip_prefix("lib").unwrap_or(name));
    let of_name = |line: &&str| {
        let line = line.trim_start();
        [name, &short].into_iter().any(|name| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with('.'))
        })
    };
    let line = text.lines().find(of_name)?;
    let path = line.split_once("=>")?.1.split_whitespace().next()?;
    Some(PathBuf::from(path))
}

impl Case {
    /// The name of the test in lists and reports.
    pub fn id(&self) -> String {
        format!("{}:{}", self.suite, self.name)
    }

    fn timeout(&self, limit: Duration) -> Duration {
        let own = self
            .metadata
            .get("timeout")
            .and_then(|own| own.parse().ok());
        own.map_or(limit.min(TIMEOUT), Duration::from_secs)
    }

    /// The programs that it needs and does not say so.
    fn unsaid(&self) -> &'static [&'static str] {
        let of = self.metadata.get("X-fs.type").map(String::as_str);
        match (&*self.suite, of) {
            (_, Some("p2k_ffs")) => &["newfs", "rump_ffs"],
            // The lower layer is ffs, whatever the upper one is.
            ("fs/vfs/t_union", _) => &["newfs"],
            _ => &[],
        }
    }

    /// Something that the case needs and this system lacks.
    fn missing(&self) -> Option<String> {
        let words = |name: &str| {
            let value = self.metadata.get(name).map_or("", String::as_str);
            value.split_whitespace()
        };
        let found = |program: &&str| match program.starts_with('/') {
            true => Path::new(program).is_file(),
            false => sh::on_path(program),
        };
        let unsaid = self.unsaid();
        let mut programs = words("require.progs").chain(unsaid.iter().copied());
        if let Some(program) = programs.find(|program| !found(program)) {
            return Some(format!("there is no program {program}"));
        }
        if let Some(file) = words("require.files").find(|file| !Path::new(file).exists()) {
            return Some(format!("there is no {file}"));
        }
        if let Some(variable) = words("require.config").next() {
            return Some(format!(
                "the configuration variable {variable} is not given"
            ));
        }
        let user = words("require.user").next()?;
        let is_root = sh::output(sh::cmd("id").arg("-u")).ok()?.trim() == "0";
        (is_root != (user == "root")).then(|| format!("it must be run as {user}"))
    }

    fn run_by_kyua(
        &self,
        file: &Path,
        environment: &Environment,
        work: &Path,
        limit: Duration,
    ) -> Result<(Outcome, String)> {
        let [said, printed, errors] = ["said", "output", "errors"].map(|name| work.join(name));
        let mut command = kyua(environment);
        command.arg("debug");
        for (option, file) in [("--stdout=", &printed), ("--stderr=", &errors)] {
            let mut option = OsString::from(option);
            option.push(file);
            command.arg(option);
        }
        command.arg("--kyuafile").arg(file).arg(self.id());
        let ended = run_group(command, &said, limit)?;
        let read = |file| fs::read(file).map(|text| String::from_utf8_lossy(&text).into_owned());
        let output = [&printed, &errors].map(|file| read(file).unwrap_or_default());
        let output = output.concat();
        let outcome = match ended {
            Some(_) => judge_by_kyua(&read(&said)?, &self.id(), &output),
            None => Outcome::Hang(String::new()),
        };
        Ok((outcome, output))
    }

    fn run(
        &self,
        environment: &Environment,
        work: &Path,
        limit: Duration,
    ) -> Result<(Outcome, String)> {
        // Some cases look whether their directory is empty.
        let [dir, result, printed] = ["dir", "result", "output"].map(|name| work.join(name));
        sh::mkdir(&dir)?;
        let part = |name: &str| {
            let mut command = command(&self.program, environment);
            command.current_dir(&dir).env("HOME", &dir);
            command.arg("-r").arg(&result).arg(name);
            run_group(command, &printed, limit)
        };
        let ended = part(&self.name)?;
        let said = fs::read_to_string(&result).unwrap_or_default();
        let output = String::from_utf8_lossy(&sh::read(&printed)?).into_owned();
        let mut outcome = judge(ended, &said, &output);
        if self
            .metadata
            .get("has.cleanup")
            .is_some_and(|has| has == "true")
        {
            let ended = part(&format!("{}:cleanup", self.name))?;
            let clean = ended.is_some_and(|status| status.success());
            if !clean && outcome == Outcome::Pass {
                outcome = Outcome::Fail("its cleanup failed".into());
            }
        }
        Ok((outcome, output))
    }
}

/// Runs a program whose output goes to a file, and kills it with all that it
/// started when it is over, or the time is. Returns how it ended; `None`: it was
/// killed.
fn run_group(mut command: Command, output: &Path, limit: Duration) -> Result<Option<ExitStatus>> {
    let file = File::create(output).with_context(|| output.display().to_string())?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run {}", sh::show(&command)))?;
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if Instant::now() >= deadline => break None,
            None => thread::sleep(Duration::from_millis(2)),
        }
    };
    // File servers that are left; as a rule there are none.
    let group = format!("-{}", child.id());
    let kill = |signal: &str| {
        let script = "kill -s \"$1\" -- \"$2\"";
        sh::works(sh::cmd("sh").args(["-c", script, "sh", signal, &group]))
    };
    if status.is_none() {
        // Kyua has groups of its own to end.
        kill("TERM");
        let deadline = Instant::now() + GRACE;
        while child.try_wait()?.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
    }
    kill("KILL");
    if status.is_none() {
        child.wait()?;
    }
    Ok(status)
}

/// How a case ended that kyua ran, by what that and the kernel printed.
fn judge_by_kyua(said: &str, id: &str, output: &str) -> Outcome {
    let line = said.lines().rev().find_map(|line| {
        let line = line.strip_prefix(id)?.trim_start();
        Some(line.strip_prefix("->")?.trim_start())
    });
    let line = line.unwrap_or("broken: kyua said nothing");
    let (result, why) = line.split_once(": ").unwrap_or((line, ""));
    if result == "passed" || result.starts_with("expected_") {
        return Outcome::Pass;
    }
    if let Some(why) = panic(output) {
        return Outcome::Panic(why);
    }
    match result {
        "skipped" => Outcome::Skip(why.into()),
        "failed" => Outcome::Fail(why.into()),
        _ if why.contains("timed out") => Outcome::Hang(String::new()),
        _ if why.contains("signal 11") => Outcome::Panic("SIGSEGV".into()),
        _ => Outcome::Fail(line.into()),
    }
}

/// What a kernel panicked with.
fn panic(output: &str) -> Option<String> {
    let at = output.find("panic: ")? + "panic: ".len();
    output[at..].lines().next().map(str::to_owned)
}

/// How a case ended: by its exit, by what it put into its file, and by what a
/// kernel printed.
fn judge(ended: Option<ExitStatus>, said: &str, output: &str) -> Outcome {
    let said = said.lines().next().unwrap_or_default();
    let (result, why) = said.split_once(": ").unwrap_or((said, ""));
    let why = why.to_owned();
    // expected_exit(1), expected_signal(11); without a number: any.
    let (result, number) = match result.split_once('(') {
        Some((result, number)) => (result, number.trim_end_matches(')').parse::<i32>().ok()),
        None => (result, None),
    };
    let Some(status) = ended else {
        return match result {
            "expected_timeout" => Outcome::Pass,
            _ => Outcome::Hang(why),
        };
    };
    let expected = match result {
        "expected_death" => true,
        "expected_exit" => number.map_or(status.code().is_some(), |n| status.code() == Some(n)),
        "expected_signal" => {
            number.map_or(status.signal().is_some(), |n| status.signal() == Some(n))
        }
        _ => false,
    };
    if expected {
        return Outcome::Pass;
    }
    if let Some(why) = panic(output) {
        return Outcome::Panic(why);
    }
    match (result, status.code()) {
        ("passed" | "expected_failure", Some(0)) => Outcome::Pass,
        ("skipped", Some(0)) => Outcome::Skip(why),
        ("failed", Some(_)) => Outcome::Fail(why),
        // The kernel's, or as good as that: it is in this process.
        (_, None) if status.signal() == Some(11) => Outcome::Panic("SIGSEGV".into()),
        _ if said.is_empty() => Outcome::Fail(status.to_string()),
        _ => Outcome::Fail(format!("{status}, though its result is {said:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "Content-Type: application/X-atf-tp; version=\"1\"

ident: ffs_attrs
descr: ffs test for: attributes
X-fs.type: ffs

ident: p2k_ffs_attrs
X-fs.type: p2k_ffs

ident: puffs_attrs
X-fs.type: puffs
timeout: 10
require.user: root
";

    fn exit(code: i32) -> Option<ExitStatus> {
        Some(ExitStatus::from_raw(code << 8))
    }

    fn signal(number: i32) -> Option<ExitStatus> {
        Some(ExitStatus::from_raw(number))
    }

    #[test]
    fn a_list_of_cases_is_read_with_what_it_says_of_them() {
        let cases = parse_list(LIST).unwrap();
        let names: Vec<_> = cases.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["ffs_attrs", "p2k_ffs_attrs", "puffs_attrs"]);
        assert_eq!(cases[0].1["descr"], "ffs test for: attributes");
        assert_eq!(cases[2].1["timeout"], "10");
        assert!(parse_list("Usage: t_basic\n").is_err());
        assert!(parse_list("descr: of nothing\n").is_err());
    }

    #[test]
    fn cases_of_puffs_are_known_by_their_file_system() {
        let of_puffs = parse_list(LIST).unwrap().into_iter();
        let of_puffs = of_puffs.filter(|(name, metadata)| is_of_puffs(name, metadata));
        let names: Vec<_> = of_puffs.map(|(name, _)| name).collect();
        assert_eq!(names, ["p2k_ffs_attrs", "puffs_attrs"]);
        assert!(is_of_puffs("puffs_attrs", &BTreeMap::new()));
        assert!(!is_of_puffs("rumpfs_attrs", &BTreeMap::new()));
    }

    #[test]
    fn a_result_is_what_the_case_says_if_it_ends_so() {
        let judge = |ended, said| judge(ended, said, "");
        assert_eq!(judge(exit(0), "passed\n"), Outcome::Pass);
        let why = || "t.c:1: no".to_owned();
        assert_eq!(judge(exit(1), "failed: t.c:1: no\n"), Outcome::Fail(why()));
        assert_eq!(judge(exit(0), "skipped: t.c:1: no"), Outcome::Skip(why()));
        assert_eq!(judge(exit(0), "expected_failure: PR 1\n"), Outcome::Pass);
        for (ended, said) in [
            (exit(1), "passed\n"),
            (exit(0), ""),
            (exit(1), ""),
            (signal(6), ""),
            (signal(6), "passed\n"),
        ] {
            let outcome = judge(ended, said);
            assert!(matches!(outcome, Outcome::Fail(_)), "{said} {outcome}");
        }
        assert_eq!(
            judge(signal(6), ""),
            Outcome::Fail("signal: 6 (SIGABRT)".into())
        );
    }

    #[test]
    fn a_death_that_the_case_expects_is_no_failure() {
        for (ended, said, passes) in [
            (signal(6), "expected_signal(6): PR 1\n", true),
            (signal(11), "expected_signal(6): PR 1\n", false),
            (signal(11), "expected_signal: PR 1\n", true),
            (exit(3), "expected_exit(3): PR 1\n", true),
            (exit(0), "expected_exit(3): PR 1\n", false),
            (exit(0), "expected_exit: PR 1\n", true),
            (signal(6), "expected_death: PR 1\n", true),
            (None, "expected_timeout: PR 1\n", true),
        ] {
            let outcome = judge(ended, said, "panic: so be it\n");
            assert_eq!(outcome == Outcome::Pass, passes, "{said} {outcome}");
        }
    }

    #[test]
    fn a_panic_of_the_kernel_is_told_from_a_failure() {
        let output = "boot\npanic: kernel diagnostic assertion \"x\" failed\nmore\n";
        let why = "kernel diagnostic assertion \"x\" failed".to_owned();
        assert_eq!(judge(signal(6), "", output), Outcome::Panic(why));
        assert_eq!(judge(signal(11), "", ""), Outcome::Panic("SIGSEGV".into()));
    }

    #[test]
    fn what_kyua_says_of_a_case_is_understood() {
        let judge = |said: &str, output| {
            let said = format!("warning\nfs/vfs/t_io:a  ->  {said}\n");
            judge_by_kyua(&said, "fs/vfs/t_io:a", output)
        };
        assert_eq!(judge("passed", ""), Outcome::Pass);
        assert_eq!(judge("expected_failure: PR 1", ""), Outcome::Pass);
        assert_eq!(
            judge("failed: t.c:1: no", ""),
            Outcome::Fail("t.c:1: no".into())
        );
        assert_eq!(judge("skipped: no x", ""), Outcome::Skip("no x".into()));
        let aborted = "broken: Premature exit; test case received signal 6";
        assert_eq!(judge(aborted, ""), Outcome::Fail(aborted.into()));
        assert_eq!(judge(aborted, "panic: x\ny"), Outcome::Panic("x".into()));
        let crashed = "broken: Premature exit; test case received signal 11";
        assert_eq!(judge(crashed, ""), Outcome::Panic("SIGSEGV".into()));
        let late = "broken: Test case body timed out";
        assert_eq!(judge(late, ""), Outcome::Hang(String::new()));
        let other = judge_by_kyua("kyua: E: no\n", "fs/vfs/t_io:a", "");
        assert_eq!(other, Outcome::Fail("broken: kyua said nothing".into()));
    }

    #[test]
    fn what_does_not_end_hangs() {
        assert_eq!(judge(None, "", ""), Outcome::Hang(String::new()));
    }

    #[test]
    fn the_library_that_is_loaded_is_seen_in_what_ldd_prints() {
        let linux = "\tlinux-vdso.so.1 (0x7ffc)\n\tlibrumpfs_syspuffs.so.0 => /ours/librumpfs_syspuffs.so.0 (0x7f2a)\n";
        let netbsd = "/usr/tests/t_io:\n\t-lrumpfs_syspuffs.0 => /ours/librumpfs_syspuffs.so.0\n";
        for text in [linux, netbsd] {
            assert_eq!(
                loaded_from(text, "librumpfs_syspuffs"),
                Some("/ours/librumpfs_syspuffs.so.0".into())
            );
            assert_eq!(loaded_from(text, "librumpfs_sys"), None);
        }
    }

    #[test]
    fn a_case_that_hangs_is_killed_with_what_it_started() {
        let output = std::env::temp_dir().join(format!("atf-{}", std::process::id()));
        let mut command = sh::cmd("sh");
        command.args(["-c", "echo begun; sleep 1000 & echo $!; sleep 1000"]);
        let ended = run_group(command, &output, Duration::from_millis(300)).unwrap();
        assert!(ended.is_none());
        let text = fs::read_to_string(&output).unwrap();
        fs::remove_file(&output).unwrap();
        let child = text.lines().nth(1).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        // It may be a zombie until somebody looks after it.
        let runs = || {
            let state = fs::read_to_string(format!("/proc/{child}/stat"));
            state.is_ok_and(|state| !state.contains(") Z "))
        };
        while runs() {
            assert!(Instant::now() < deadline, "{child} goes on");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
