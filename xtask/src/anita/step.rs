//! Steps: what the guest is to do.
//!
//! A step is a shell script. Its name is that of its file, without the number
//! that says when its turn is. Comments that begin with `#:` say how to run it:
//!
//! ```text
//! #: limit 60          how long it may take, in seconds; 60 if it does not say
//! #: each-boot         it is needed by the others, after each boot
//! #: output tap        its output has results of its own: tap, results or pools
//! ```
//!
//! It is run by `sh` in the directory of what is handed over, where `lib.sh`
//! has functions for it. It passes when it exits with 0, and is skipped when it
//! exits with 77. What it prints last with `skip:` or `fail:` before it is the
//! reason.

use anyhow::{bail, ensure, Context, Result};
use std::{path::Path, time::Duration};

/// A script, and how to run it.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name in reports.
    pub name: String,
    /// Where its turn is among the others, as its file's name says.
    pub order: String,
    /// How long it may take.
    pub limit: Duration,
    /// Is it run after each boot?
    pub each_boot: bool,
    /// What its output is.
    pub output: Output,
    /// The script.
    pub script: String,
}

/// What a step prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Text,
    /// The Test Anything Protocol: a result for each test.
    Tap,
    /// Lines that functions of `lib.sh` print: a result for each test.
    Results,
    /// `vmstat -m`, three times: see [`super::pools`].
    Pools,
}

impl Step {
    /// Reads one.
    pub fn read(file: &Path) -> Result<Step> {
        let stem = file.file_stem().context("a step in no file")?;
        let script = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Step::parse(&stem.to_string_lossy(), script).with_context(|| format!("{}", file.display()))
    }

    /// Reads all of a directory: the files that end in `.sh`.
    pub fn read_all(dir: &Path) -> Result<Vec<Step>> {
        let entries = dir
            .read_dir()
            .with_context(|| format!("cannot read {}", dir.display()))?;
        let mut steps = Vec::new();
        for entry in entries {
            let file = entry?.path();
            if file.extension().is_some_and(|name| name == "sh") {
                steps.push(Step::read(&file)?);
            }
        }
        Ok(steps)
    }

    fn parse(stem: &str, script: String) -> Result<Step> {
        let name = stem.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
        ensure!(
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
            "{stem:?} is no name for a step: letters, digits and hyphens"
        );
        let mut step = Step {
            name: name.to_owned(),
            order: stem.to_owned(),
            limit: Duration::from_secs(60),
            each_boot: false,
            output: Output::Text,
            script: String::new(),
        };
        for line in script.lines().filter_map(|line| line.strip_prefix("#:")) {
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                ["limit", seconds] => step.limit = Duration::from_secs(seconds.parse()?),
                ["each-boot"] => step.each_boot = true,
                ["output", "tap"] => step.output = Output::Tap,
                ["output", "results"] => step.output = Output::Results,
                ["output", "pools"] => step.output = Output::Pools,
                _ => bail!("a step cannot say {:?}", line.trim()),
            }
        }
        step.script = script;
        Ok(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sh;
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    #[test]
    fn a_step_says_how_to_run_it() {
        let script = "#!/bin/sh\n# Why.\n#: limit 7\n#: each-boot\n#: output tap\necho\n";
        let step = Step::parse("10-load-it", script.into()).unwrap();
        assert_eq!((&*step.name, &*step.order), ("load-it", "10-load-it"));
        assert_eq!(step.limit, Duration::from_secs(7));
        assert!(step.each_boot);
        assert_eq!(step.output, Output::Tap);
        assert_eq!(step.script, script);
    }

    #[test]
    fn a_step_that_says_nothing_has_a_minute() {
        let step = Step::parse("true", "true\n".into()).unwrap();
        assert_eq!(step.limit, Duration::from_secs(60));
        assert!(!step.each_boot);
        assert_eq!(step.output, Output::Text);
    }

    #[test]
    fn what_a_step_cannot_say_is_refused() {
        for script in ["#: limits 7\n", "#: limit long\n", "#: output html\n"] {
            assert!(Step::parse("x", script.into()).is_err(), "{script}");
        }
        assert!(Step::parse("10-", String::new()).is_err());
        assert!(Step::parse("a b", String::new()).is_err());
    }

    /// Has the functions of the steps load `module`, with a modload(8) that is the script
    /// `modload`. Did they, and what was it called with?
    fn load(name: &str, module: &str, modload: &str) -> (bool, String) {
        let dir = std::env::temp_dir().join(format!("puffs-{name}-{}", std::process::id()));
        sh::fresh_dir(&dir.join("bin")).unwrap();
        let lib = crate::paths::etc("anita").join("lib.sh");
        std::fs::copy(lib, dir.join("lib.sh")).unwrap();
        sh::write(&dir.join("env.sh"), format!("MODULE={module}\n")).unwrap();
        let program = dir.join("bin/modload");
        sh::write(&program, format!("#!/bin/sh\necho $* >>log\n{modload}\n")).unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let script = "mount() { :; }; . ./lib.sh; load";
        let mut shell = sh::cmd("sh");
        let loaded = sh::works(shell.args(["-c", script]).current_dir(&dir));
        let log = std::fs::read_to_string(dir.join("log")).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        (loaded, log)
    }

    #[test]
    fn a_module_of_the_kernel_s_own_that_was_unloaded_is_loaded_by_force() {
        let refused = r#"[ "$1" = -f ]"#;
        let log = "puffs\n-f puffs\n".to_owned();
        assert_eq!(load("own", "puffs", refused), (true, log));
        assert_eq!(load("good", "puffs", "true"), (true, "puffs\n".into()));
    }

    #[test]
    fn a_module_s_file_is_never_loaded_by_force() {
        let log = "./puffs.kmod\n".to_owned();
        assert_eq!(load("file", "./puffs.kmod", "false"), (false, log));
    }

    #[test]
    fn the_steps_of_the_project_can_be_read() {
        let of = |dir| Step::read_all(&crate::paths::etc("anita").join(dir)).unwrap();
        assert!(!of("plants").is_empty());
        let steps = of("steps");
        assert!(steps.iter().any(|step| step.each_boot));
        for output in [Output::Tap, Output::Results, Output::Pools] {
            assert!(steps.iter().any(|step| step.output == output), "{output:?}");
        }
    }
}
