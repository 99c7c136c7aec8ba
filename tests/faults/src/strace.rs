//! Faults at exact system calls, injected by strace from outside. Nothing in the sidecar knows about it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

use crate::daemon::until;

/// What stands before the binary so that `inject` (as for `strace -e inject=`) applies to it from its start, on calls
/// that touch one of `paths` (none: on all). `-D`: the sidecar stays our own child.
pub fn wrapper(log: &Path, calls: &str, inject: Option<&str>, paths: &[PathBuf]) -> Vec<String> {
    let mut words: Vec<String> = ["strace", "-D", "-f", "-qq", "-o"].map(str::to_owned).into();
    words.push(log.display().to_string());
    words.extend(options(calls, inject, paths));
    words
}

fn options(calls: &str, inject: Option<&str>, paths: &[PathBuf]) -> Vec<String> {
    let mut words = vec!["-e".to_owned(), format!("trace={calls}")];
    words.extend(paths.iter().flat_map(|path| ["-P".to_owned(), path.display().to_string()]));
    words.extend(inject.iter().flat_map(|inject| ["-e".to_owned(), format!("inject={inject}")]));
    words
}

/// How often each thread made each of the calls, the most of any thread, from a log without injections.
///
/// # Errors
/// There is no log.
pub fn counts(log: &Path) -> Result<Vec<(String, u32)>> {
    let mut counts = std::collections::BTreeMap::<(String, String), u32>::new();
    for line in fs::read_to_string(log)?.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        if call.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            *counts.entry((call.to_owned(), thread.to_owned())).or_default() += 1;
        }
    }
    let mut most = std::collections::BTreeMap::<String, u32>::new();
    for ((call, _), count) in counts {
        let known = most.entry(call).or_default();
        *known = (*known).max(count);
    }
    Ok(most.into_iter().collect())
}

/// strace on a running process.
#[derive(Debug)]
pub struct Strace {
    child: Child,
    log: PathBuf,
}

impl Strace {
    /// Attaches to every thread of `pid`; from now on `inject` applies.
    ///
    /// # Errors
    /// strace is missing or may not attach.
    pub async fn attach(pid: Pid, log: &Path, calls: &str, inject: &str, paths: &[PathBuf]) -> Result<Self> {
        let _ = fs::remove_file(log);
        let pid = pid.as_raw_nonzero().to_string();
        let mut command = Command::new("strace");
        command
            .args(["-f", "-qq", "-o"])
            .arg(log)
            .args(options(calls, Some(inject), paths))
            .args(["-p", &pid]);
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        let child = command.spawn().context("run strace; it is Debian's package strace")?;
        until("strace to attach", async || is_traced(&pid).then_some(())).await?;
        Ok(Self { child, log: log.to_path_buf() })
    }

    /// How many calls were made to fail so far.
    pub fn injected(&self) -> u64 {
        injected(&self.log)
    }

    /// Waits until at least so many calls were made to fail.
    ///
    /// # Errors
    /// They were not.
    pub async fn fired(&self, least: u64) -> Result<()> {
        until(&format!("{least} injected faults"), async || (self.injected() >= least).then_some(())).await
    }

    /// Lets go of the process: the fault is over. Answers how many calls were made to fail.
    ///
    /// # Errors
    /// It does not let go.
    pub async fn detach(mut self) -> Result<u64> {
        let id = self.child.id().context("strace ended early")?;
        let pid = Pid::from_raw(i32::try_from(id)?).context("a process id")?;
        rustix::process::kill_process(pid, Signal::INT)?;
        tokio::time::timeout(crate::daemon::PATIENCE, self.child.wait()).await??;
        Ok(self.injected())
    }
}

/// How many calls of a log were made to fail.
pub fn injected(log: &Path) -> u64 {
    fs::read_to_string(log).map_or(0, |text| text.matches("(INJECTED)").count() as u64)
}

/// Whether every thread of the process has a tracer.
fn is_traced(pid: &str) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    })
}
