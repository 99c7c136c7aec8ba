//! The release binary as a process, called as Odoo calls it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

/// A start or a stop that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running sidecar.
#[derive(Debug)]
pub struct Sidecar {
    child: Child,
    folder: PathBuf,
    address: String,
    token: String,
    client: reqwest::Client,
    output: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

/// The binary under test: the release build, as users have it.
pub fn binary() -> PathBuf {
    let this = std::env::current_exe().expect("this program");
    // target/debug/deps/this
    let target = this.ancestors().nth(3).expect("a target folder");
    let binary = target.join("release/mcp-webhookd");
    assert!(binary.exists(), "{} is missing; run `just test`, which builds it", binary.display());
    binary
}

/// How to start it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The configuration file's text. The listener's port is picked by the system.
    pub config: String,
    /// Environment variables; nothing is inherited.
    pub environment: Vec<(String, String)>,
}

impl Settings {
    /// Only a configuration file.
    pub fn config(text: impl Into<String>) -> Self {
        Self { config: text.into(), environment: Vec::new() }
    }
}

/// The command with `settings`, in `folder`.
pub fn command(folder: &Path, settings: &Settings) -> Command {
    let file = folder.join("config.toml");
    fs::write(&file, &settings.config).expect("a file");
    let mut command = Command::new(binary());
    command
        .env_clear()
        .env("MCP_WEBHOOKD_SERVER_LISTEN", "127.0.0.1:0")
        .envs(settings.environment.iter().cloned());
    command.arg("--config").arg(file).arg("--data-dir").arg(folder.join("data"));
    command
}

impl Sidecar {
    /// Starts it with its data in `folder`, and waits until it says that it is ready.
    pub fn start(folder: &Path, settings: &Settings) -> Self {
        Self::try_start(folder, settings).unwrap_or_else(|output| panic!("it does not start:\n{output}"))
    }

    /// The same.
    ///
    /// # Errors
    /// What it said before it ended.
    pub fn try_start(folder: &Path, settings: &Settings) -> Result<Self, String> {
        let mut command = command(folder, settings);
        command.arg("serve").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let output = Arc::new(Mutex::new(String::new()));
        let (ready, is_ready) = mpsc::channel();
        let readers = vec![
            collect(child.stdout.take().expect("piped"), Arc::clone(&output), ready.clone()),
            collect(child.stderr.take().expect("piped"), Arc::clone(&output), ready),
        ];
        let started = is_ready.recv_timeout(PATIENCE);
        if started.is_err() {
            let _ = child.kill();
            let _ = child.wait();
            readers.into_iter().for_each(|reader| reader.join().expect("a reader"));
            return Err(output.lock().unwrap_or_else(PoisonError::into_inner).clone());
        }
        let read = |name: &str| fs::read_to_string(folder.join("data").join(name)).expect("a file");
        let address = read("address").trim().to_owned();
        let token = read("token").lines().next().expect("a token").to_owned();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Ok(Self { child, folder: folder.to_owned(), address, token, client, output, readers })
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// The first bearer token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it wrote so far, to both outputs.
    pub fn output(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A line of `/proc/<pid>/status` in kB, such as `VmRSS`.
    pub fn memory(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let found = status.lines().find_map(|text| text.strip_prefix(line)).expect("a line");
        found.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number")
    }

    /// A GET: status and body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.address);
        let answer = self.client.get(url).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// A call: the whole answer.
    pub async fn answer(&self, body: String) -> (u16, String) {
        let request = self.client.post(format!("http://{}/", self.address)).bearer_auth(&self.token);
        let sent = request.header("content-type", "application/json").body(body).send().await;
        let answer = sent.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// A call: the result.
    ///
    /// # Errors
    /// The error of the answer.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let (_, text) = self.answer(body).await;
        let mut answer: Value = serde_json::from_str(&text).expect("JSON");
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(answer["error"].take()),
        }
    }

    /// Hands in one event for a stored subscription, and answers its id.
    pub async fn submit(&self, subscription: &Value) -> String {
        let event = crate::event(subscription);
        let id = event["id"].as_str().expect("an id").to_owned();
        let answer = self.call("event.submit", json!({"events": [event]})).await.expect("an answer");
        assert_eq!(answer["results"][0]["status"], "accepted", "{answer}");
        id
    }

    /// The newest attempt of an event, once it is final.
    pub async fn outcome(&self, event: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(90);
        let mut look = tokio::time::interval(Duration::from_millis(20));
        loop {
            look.tick().await;
            let mut found = self.call("delivery.get", json!({"event_id": event})).await.expect("an answer");
            let newest = found["attempts"].as_array_mut().and_then(Vec::pop).expect("an attempt");
            if newest["status"] != "pending" {
                return newest;
            }
            assert!(Instant::now() < deadline, "it never ended: {newest}");
        }
    }

    /// Stops it as systemd does, and answers what it wrote.
    pub fn stop(mut self) -> (ExitStatus, String) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
        let status = self.child.wait().expect("it ends");
        for reader in std::mem::take(&mut self.readers) {
            reader.join().expect("a reader");
        }
        (status, self.output())
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(
    stream: impl Read + Send + 'static,
    output: Arc<Mutex<String>>,
    ready: mpsc::Sender<()>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            output.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            if text.contains("mcp-webhookd is ready") {
                let _ = ready.send(());
            }
            line.clear();
        }
    })
}
