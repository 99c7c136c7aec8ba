//! The release binary as a process of its own, and what can be done to it from outside.

use std::{
    fs,
    net::TcpListener,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use webhook_api::{Call, system::GetInfo};

/// What a start, a stop or a recovery may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// Looks until `condition` answers something.
///
/// # Errors
/// It did not within [`PATIENCE`].
pub async fn until<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    until_for(PATIENCE, what, condition).await
}

/// Looks until `condition` answers something.
///
/// # Errors
/// It did not within `patience`.
pub async fn until_for<T>(
    patience: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let looking = async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(patience, looking).await.with_context(|| format!("waited in vain for {what}"))
}

/// The binary to test: `$MCP_WEBHOOKD`, else the release build of this workspace.
///
/// # Errors
/// There is none.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("MCP_WEBHOOKD") {
        return Ok(path.into());
    }
    let program = std::env::current_exe()?;
    let target =
        program.parent().and_then(Path::parent).context("this program is not in a target directory")?;
    let path = target.join("release/mcp-webhookd");
    ensure!(path.exists(), "there is no {}; run: cargo build --release -p webhook-server", path.display());
    Ok(path)
}

/// A sidecar on a port that it keeps over restarts.
#[derive(Debug)]
pub struct Daemon {
    /// Its data directory.
    pub data: PathBuf,
    /// Its port on loopback.
    pub port: u16,
    /// What stands before the binary on the command line.
    pub wrapper: Vec<String>,
    /// Environment variables of the next start.
    pub environment: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
    client: reqwest::Client,
}

impl Daemon {
    /// One that keeps its data in `folder`/data and is not started yet.
    ///
    /// # Errors
    /// No free port.
    pub fn new(folder: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
        Ok(Self {
            data: folder.join("data"),
            port,
            wrapper: Vec::new(),
            environment: Vec::new(),
            log: folder.join("sidecar.log"),
            child: None,
            client,
        })
    }

    /// The delivery log's file.
    pub fn store(&self) -> PathBuf {
        self.data.join("log.redb")
    }

    /// All files of the delivery log.
    pub fn log_files(&self) -> [PathBuf; 2] {
        [self.store(), webhook_log::medium::journal(&self.store())]
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut words = self.wrapper.clone();
        words.push(binary()?.display().to_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(arguments).arg("--data-dir").arg(&self.data);
        command.env("MCP_WEBHOOKD_NETWORK_ALLOW_HTTP", "true");
        command.env("MCP_WEBHOOKD_NETWORK_ALLOW_NETWORKS", "127.0.0.0/8");
        command.envs(self.environment.iter().cloned()).stdin(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }

    /// Starts the process, and does not wait for it.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn launch(&mut self) -> Result<()> {
        let log = fs::File::options().create(true).append(true).open(&self.log)?;
        let listen = format!("127.0.0.1:{}", self.port);
        let mut command = self.command(&["serve", "--listen", &listen])?;
        self.child = Some(command.stdout(log.try_clone()?).stderr(log).spawn()?);
        Ok(())
    }

    /// Starts it, and waits until it is healthy.
    ///
    /// # Errors
    /// It ended, or does not become healthy.
    pub async fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.healthy().await
    }

    /// Waits until it is healthy.
    ///
    /// # Errors
    /// It ended, or does not become healthy.
    pub async fn healthy(&mut self) -> Result<()> {
        let ready = until("a healthy sidecar", async || match self.ended() {
            Some(status) => Some(Err(status)),
            None => (self.health().await == Some(200)).then_some(Ok(())),
        });
        match ready.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => bail!("the sidecar ended by itself ({status}):\n{}", self.last_words()),
            Err(error) => Err(error.context(self.last_words())),
        }
    }

    /// The status of `/healthz`, where it answers.
    pub async fn health(&self) -> Option<u16> {
        let url = format!("http://127.0.0.1:{}/healthz", self.port);
        let answer = self.client.get(url).timeout(Duration::from_secs(2)).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Waits until `/healthz` says that the store does not work.
    ///
    /// # Errors
    /// It does not.
    pub async fn unhealthy(&mut self) -> Result<()> {
        until("/healthz to say 503", async || (self.health().await == Some(503)).then_some(())).await
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("delivery attempted")).collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// Its process id.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self) -> Result<Pid> {
        let id = self.child.as_ref().and_then(Child::id).context("the sidecar does not run")?;
        Pid::from_raw(i32::try_from(id)?).context("a process id")
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(rustix::process::kill_process(self.pid()?, signal)?)
    }

    /// Sets a soft limit of the running process; none: as high as the hard one.
    ///
    /// # Errors
    /// The kernel said no.
    pub fn limit(&self, resource: Resource, soft: Option<u64>) -> Result<()> {
        // The sidecar inherited our hard limit.
        let maximum = rustix::process::getrlimit(resource).maximum;
        let limit = Rlimit { current: soft.or(maximum), maximum };
        rustix::process::prlimit(Some(self.pid()?), resource, limit)?;
        Ok(())
    }

    /// Waits until it ended; how.
    ///
    /// # Errors
    /// It does not end.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let child = self.child.as_mut().context("the sidecar does not run")?;
        let status =
            tokio::time::timeout(PATIENCE, child.wait()).await.context("the sidecar does not end")??;
        self.child = None;
        Ok(status)
    }

    /// SIGKILL. Answers when it is gone.
    ///
    /// # Errors
    /// It was gone before.
    pub async fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        let status = self.wait().await?;
        ensure!(status.signal() == Some(9), "SIGKILL did not end it: {status}");
        Ok(())
    }

    /// SIGTERM, as an operator does.
    ///
    /// # Errors
    /// It does not end, or not with 0.
    pub async fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let status = self.wait().await?;
        ensure!(status.success(), "it did not stop cleanly ({status}):\n{}", self.last_words());
        Ok(())
    }

    /// `mcp-webhookd verify`.
    ///
    /// # Errors
    /// The log is not sound.
    pub async fn verify(&self) -> Result<()> {
        let mut command = self.command(&["verify"])?;
        let done = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().await?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }

    /// Runs another command on the data directory; its exit code, and all that it said.
    ///
    /// # Errors
    /// It cannot be run.
    pub async fn run(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let mut command = self.command(arguments)?;
        let done = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().await?;
        let said = [done.stdout, done.stderr].concat();
        Ok((done.status.code(), String::from_utf8_lossy(&said).into_owned()))
    }

    /// A JSON-RPC call with the administration's token; inside, the error as it was answered.
    ///
    /// # Errors
    /// No answer came, or not one of JSON-RPC.
    pub async fn try_call(&self, method: &str, params: Value) -> Result<Result<Value, Value>> {
        let caller = self.caller()?;
        caller.call(method, params).await
    }

    /// A JSON-RPC call that must work.
    ///
    /// # Errors
    /// It did not.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value> {
        self.try_call(method, params).await?.map_err(|error| anyhow::anyhow!("{method}: {error}"))
    }

    /// The same, by the types of the wire.
    ///
    /// # Errors
    /// It did not.
    pub async fn ask<C: Call>(&self, params: &C) -> Result<C::Result> {
        let answer = self.caller()?.ask(params).await?;
        answer.map_err(|error| anyhow::anyhow!("{}: {}", C::METHOD, error.message))
    }

    /// How many deliveries are pending.
    ///
    /// # Errors
    /// The sidecar does not answer.
    pub async fn pending(&self) -> Result<u64> {
        Ok(self.ask(&GetInfo {}).await?.pending)
    }

    /// What makes calls, also while the process is down.
    ///
    /// # Errors
    /// There is no token yet.
    pub fn caller(&self) -> Result<Caller> {
        let token = fs::read_to_string(self.data.join("admin_token"))?.trim().to_owned();
        Ok(Caller { client: self.client.clone(), url: format!("http://127.0.0.1:{}/", self.port), token })
    }
}

/// Makes JSON-RPC calls.
#[derive(Debug, Clone)]
pub struct Caller {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Caller {
    /// See [`Daemon::try_call`].
    ///
    /// # Errors
    /// No answer came, or not one of JSON-RPC.
    pub async fn call(&self, method: &str, params: Value) -> Result<Result<Value, Value>> {
        let mut answer: Value = serde_json::from_slice(&self.answer(method, &params).await?)?;
        Ok(match answer["result"].take() {
            Value::Null => Err(answer["error"].take()),
            result => Ok(result),
        })
    }

    /// The same, by the types of the wire.
    ///
    /// # Errors
    /// No answer came, or another one.
    pub async fn ask<C: Call>(&self, params: &C) -> Result<Result<C::Result, webhook_api::Error>> {
        let answer: Answer<C::Result> = serde_json::from_slice(&self.answer(C::METHOD, params).await?)?;
        match (answer.result, answer.error) {
            (Some(result), _) => Ok(Ok(result)),
            (None, error) => Ok(Err(error.context("neither result nor error")?)),
        }
    }

    async fn answer(&self, method: &str, params: &impl Serialize) -> Result<Bytes> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let request = self.client.post(&self.url).bearer_auth(&self.token);
        let answer = request.header("content-type", "application/json").body(body).send().await?;
        Ok(answer.bytes().await?)
    }
}

#[derive(Deserialize)]
struct Answer<R> {
    result: Option<R>,
    error: Option<webhook_api::Error>,
}
