//! The real binary in a folder of its own, as an operator has it.
#![allow(dead_code)] // each test file uses its part

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::LazyLock,
    thread::JoinHandle,
};

use serde_json::{Value, json};

/// A subscription that tests use.
pub const SUBSCRIPTION: &str = "0190c1de-7b5a-7c3e-9b0a-1f6d2c3b4a59";

/// Made once: a client reads all certificates of the system.
static HTTP: LazyLock<(tokio::runtime::Runtime, reqwest::Client)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // The sidecar closes a connection that is idle, and a test may take its time between two calls.
    (runtime, reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap())
});

/// A data directory, and a sidecar on it while one runs.
pub struct Operator {
    pub folder: tempfile::TempDir,
    daemon: Option<Child>,
    /// What it logged up to "is ready"; all of it once it was stopped.
    pub log: Vec<String>,
    rest: Option<JoinHandle<Vec<String>>>,
}

impl Operator {
    /// Without a sidecar.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), daemon: None, log: Vec::new(), rest: None }
    }

    /// With one, whose endpoints may be on loopback.
    pub fn with_sidecar() -> Self {
        let mut operator = Self::new();
        operator.start(&[]);
        operator
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The binary with this data directory and nothing of the environment that could disturb.
    pub fn command(&self, arguments: &[&str]) -> Command {
        Self::command_at(&self.data(), arguments)
    }

    /// The same with another data directory.
    pub fn command_at(data: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-webhookd"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MCP_WEBHOOKD_")) {
            command.env_remove(name);
        }
        command.env_remove("RUST_LOG").env_remove("NO_COLOR").env_remove("RUNTIME_DIRECTORY");
        command.env("MCP_WEBHOOKD_NETWORK_ALLOW_HTTP", "true");
        command.arg("--data-dir").arg(data).args(arguments).stdin(Stdio::null());
        command
    }

    /// Starts a sidecar and waits until it says that it is ready.
    pub fn start(&mut self, arguments: &[&str]) {
        self.start_with(arguments, &[]);
    }

    /// The same, with more of an environment.
    pub fn start_with(&mut self, arguments: &[&str], environment: &[(&str, &str)]) {
        let mut command = self.command(&["--listen", "127.0.0.1:0"]);
        command.args(arguments).arg("serve").stdout(Stdio::null()).stderr(Stdio::piped());
        if arguments.is_empty() {
            command.env("MCP_WEBHOOKD_NETWORK_ALLOW_NETWORKS", "127.0.0.0/8");
        }
        let mut child = command.envs(environment.iter().copied()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        for line in lines.by_ref() {
            let is_ready = line.contains("is ready");
            self.log.push(line);
            if is_ready {
                break;
            }
        }
        assert!(self.log.last().is_some_and(|line| line.contains("is ready")), "{:?}", self.log);
        self.rest = Some(std::thread::spawn(move || lines.collect()));
        self.daemon = Some(child);
    }

    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Ends the sidecar as systemd does.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let ended = self.daemon.take().unwrap().wait().unwrap();
        assert!(ended.success(), "{ended}");
        self.log.extend(self.rest.take().unwrap().join().unwrap());
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    /// The address of the running sidecar.
    pub fn address(&self) -> String {
        std::fs::read_to_string(self.data().join("address")).unwrap().trim().to_owned()
    }

    pub fn token(&self, file: &str) -> String {
        let text = std::fs::read_to_string(self.data().join(file)).unwrap();
        text.lines().next().unwrap().to_owned()
    }

    /// A JSON-RPC call with the first token of a file: the answer's `result` or `error`, and the HTTP status.
    pub fn call(&self, token: &str, method: &str, params: Value) -> (u16, Value) {
        self.call_of(token, None, method, params)
    }

    /// The same, of a database that names itself.
    pub fn call_of(&self, token: &str, database: Option<&str>, method: &str, params: Value) -> (u16, Value) {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let url = format!("http://{}/", self.address());
        let (runtime, client) = &*HTTP;
        runtime.block_on(async {
            let request = client.post(url).bearer_auth(token).header("content-type", "application/json");
            let request = database.into_iter().fold(request, |r, name| r.header("x-odoo-database", name));
            let answer = request.body(body).send().await.unwrap();
            let status = answer.status().as_u16();
            let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
            let found = answer.get("result").or(answer.get("error")).cloned().unwrap_or_default();
            (status, found)
        })
    }

    /// A body as it is: the HTTP status, and the answer's text.
    pub fn call_text(&self, token: &str, body: &str) -> (u16, String) {
        let url = format!("http://{}/", self.address());
        let (runtime, client) = &*HTTP;
        runtime.block_on(async {
            let request = client.post(url).bearer_auth(token).header("content-type", "application/json");
            let answer = request.body(body.to_owned()).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    }

    /// A call of the addon that must succeed.
    pub fn addon(&self, method: &str, params: Value) -> Value {
        let (status, answer) = self.call(&self.token("token"), method, params);
        assert!(status == 200 && answer.get("code").is_none(), "{status} {answer}");
        answer
    }

    /// Makes the subscription that tests use.
    pub fn subscribe(&self, url: &str) {
        let subscription = json!({"id": SUBSCRIPTION, "name": "Orders", "model": "sale.order", "url": url,
            "secret": "0123456789abcdef"});
        self.addon("subscription.create", subscription);
    }

    /// Submits one event; answers its id.
    pub fn submit(&self, number: u32) -> String {
        let event = event(number);
        let answer = self.addon("event.submit", json!({"events": [event]}));
        assert_eq!(answer["results"][0]["status"], "accepted", "{answer}");
        event["id"].as_str().unwrap().to_owned()
    }
}

/// An event of now for the subscription that tests use.
pub fn event(number: u32) -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let timestamp = webhook_model::Millis(u64::try_from(now).unwrap()).to_string();
    json!({"id": format!("0190c1de-7b5a-7c3e-9b0a-{number:012}"), "subscription_id": SUBSCRIPTION,
        "model": "sale.order", "event_type": "write", "record_ids": [number], "user_id": null,
        "timestamp": timestamp})
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// What a command left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Ran {
    /// It ended with this code, and every failure says what to do in its last line.
    #[track_caller]
    pub fn expect(self, code: i32, says: &str) -> Self {
        let both = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, code, "{both}");
        assert!(both.contains(says), "{says:?} is not in:\n{both}");
        self
    }
}

/// The listening end of `mcp-webhookd listen`: its URL, and what it prints.
pub struct Listener {
    pub url: String,
    child: Child,
}

impl Listener {
    pub fn start(operator: &Operator, arguments: &[&str]) -> Self {
        let mut command = operator.command(&["listen", "--port", "0"]);
        let mut child =
            command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http")).unwrap();
        Self { url: url.trim_end_matches(';').to_owned(), child }
    }

    /// Waits until it ends by itself; what it printed.
    pub fn end(self) -> String {
        let output = self.child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
