//! The machine and the versions, so that figures can be told apart. No names of hosts, no paths.

use std::{fs, path::Path, process::Command};

use anyhow::Result;
use serde::Serialize;

/// Where and of what the figures are.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Machine {
    pub date: String,
    pub commit: String,
    pub version: String,
    pub rustc: String,
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    pub file_system: String,
    /// Load average of one minute before and after the run.
    pub load_before: f64,
    pub load_after: f64,
}

/// Describes this machine; `folder` is where the store is while it is measured.
pub fn describe(folder: &Path) -> Result<Machine> {
    let field = |path: &str, name: &str| -> Result<String> {
        let text = fs::read_to_string(path)?;
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        Ok(line.split_once(':').map_or_else(String::new, |(_, value)| value.trim().to_owned()))
    };
    let changed = !said("git", &["status", "--porcelain", "--", "crates", "Cargo.lock"]).is_empty();
    let kib: f64 = field("/proc/meminfo", "MemTotal")?.trim_end_matches(" kB").parse().unwrap_or(0.0);
    Ok(Machine {
        date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        commit: said("git", &["rev-parse", "--short", "HEAD"]) + if changed { ", changed" } else { "" },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rustc: said("rustc", &["--version"]),
        cpu: field("/proc/cpuinfo", "model name")?,
        cores: std::thread::available_parallelism()?.get(),
        memory_gib: (kib / f64::from(1 << 20)).round(),
        kernel: said("uname", &["-r"]),
        file_system: said("stat", &["-f", "-c", "%T", &folder.to_string_lossy()]),
        load_before: load()?,
        load_after: 0.0,
    })
}

/// The load average of the last minute.
pub fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().unwrap_or_default().parse()?)
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned()).unwrap_or_default()
}
