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
