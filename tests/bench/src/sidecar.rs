//! The release binary as a process, what it costs according to /proc, and calls to it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use webhook_api::{
    Call,
    system::{GetInfo, Info},
};

/// Long enough for the slowest machine; a wait that takes longer is a fault.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running sidecar.
pub struct Sidecar {
    binary: PathBuf,
    data: PathBuf,
    child: Child,
    pub address: String,
    pub token: String,
    client: reqwest::Client,
}

/// What a process has used so far.
#[derive(Clone, Copy)]
pub struct Usage {
    pub cpu: Duration,
    pub peak_rss_mib: f64,
}

impl Sidecar {
    /// Starts `binary` on the data in `folder`, and waits until it is healthy. Also answers how long that took.
    pub async fn start(binary: &Path, folder: &Path) -> Result<(Self, Duration)> {
        let data = folder.join("data");
        let _ = fs::remove_file(data.join("address"));
        let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("sidecar.log"))?;
        let started = Instant::now();
        let child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .env("MCP_WEBHOOKD_NETWORK_ALLOW_HTTP", "true")
            .env("MCP_WEBHOOKD_NETWORK_ALLOW_NETWORKS", "127.0.0.0/8")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        let client = reqwest::Client::builder().no_proxy().http1_only().build()?;
        let mut sidecar = Self {
            binary: binary.to_owned(),
            data,
            child,
            address: String::new(),
            token: String::new(),
            client,
        };
        sidecar.wait_until_healthy().await?;
        Ok((sidecar, started.elapsed()))
    }

    async fn wait_until_healthy(&mut self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            ensure!(Instant::now() < end, "the sidecar does not start");
            if let Some(status) = self.child.try_wait()? {
                bail!("the sidecar ended by itself: {status}");
            }
            let address = fs::read_to_string(self.data.join("address")).unwrap_or_default();
            if address.ends_with('\n') {
                self.address = address.trim().to_owned();
                let health = self.client.get(format!("http://{}/healthz", self.address)).send().await;
                if health.is_ok_and(|answer| answer.status().is_success()) {
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.token = fs::read_to_string(self.data.join("token"))?.trim().to_owned();
        Ok(())
    }

    /// Stops it as systemd does, and starts it again on the same data. Answers how long the start took.
    pub async fn restart(&mut self) -> Result<Duration> {
        self.stop()?;
        let folder = self.data.parent().context("the data folder has a parent")?.to_owned();
        let (again, took) = Self::start(&self.binary.clone(), &folder).await?;
        *self = again;
        Ok(took)
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> Result<()> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the sidecar ended with {status}");
        Ok(())
    }

    /// SIGKILL, as a crash.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// A call; the result.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let request = self.client.post(format!("http://{}/", self.address));
        let request = request.header("content-type", "application/json").bearer_auth(&self.token).body(body);
        let mut answer: Value = serde_json::from_str(&request.send().await?.text().await?)?;
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => bail!("{method}: {}", answer["error"]),
        }
    }

    /// Deliveries that are pending.
    pub async fn pending(&self) -> Result<u64> {
        let info = self.call(GetInfo::METHOD, json!({})).await?;
        Ok(serde_json::from_value::<Info>(info)?.pending)
    }

    /// Waits until nothing is pending, so that what it used can be told per delivery.
    pub async fn wait_until_idle(&self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while self.pending().await? > 0 {
            ensure!(Instant::now() < end, "deliveries stay pending");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// What it used, from /proc.
    pub fn usage(&self) -> Result<Usage> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
        let kib: f64 = peak.trim().trim_end_matches(" kB").parse()?;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name in brackets; fields 14 and 15 of proc(5), in clock ticks of 10 ms on Linux.
        let fields: Vec<&str> = stat.rsplit(')').next().context("stat")?.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Usage { cpu: Duration::from_millis(ticks * 10), peak_rss_mib: kib / 1024.0 })
    }

    /// Forgets the peak of its memory so far.
    pub fn forget_peak(&self) -> Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }

    /// The size of its store.
    pub fn store_mib(&self) -> Result<f64> {
        let path = webhook_server::files::DataDir::choose(Some(self.data.clone()))?.store();
        Ok(fs::metadata(path)?.len() as f64 / f64::from(1 << 20))
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
