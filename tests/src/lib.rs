//! The harness: a whole sidecar in process, on a port of its own. At the end of each test it looks whether the log is
//! sound.

use std::path::Path;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use webhook_api::Call;
use webhook_server::{config::Config, files::DataDir, serve::Sidecar};

/// A running sidecar whose endpoints may be on loopback.
pub struct Running {
    /// Its address, as a URL.
    pub url: String,
    token: String,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
    log: webhook_log::Log,
    /// A client without the token.
    pub client: reqwest::Client,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Running({})", self.url)
    }
}

/// The log in a data folder that no sidecar uses now, to put into it what a sidecar would not.
///
/// # Panics
/// It does not open.
pub fn open_log(folder: &Path) -> webhook_log::Log {
    let data = DataDir::choose(Some(folder.to_owned())).unwrap();
    let key = data.open(None).unwrap().key;
    webhook_log::Log::open(webhook_log::medium::File::new(data.store()), key).unwrap()
}

impl Running {
    /// Starts it in `folder`, with these networks opened.
    ///
    /// # Panics
    /// It does not start.
    pub async fn start(folder: &Path, networks: &[&str]) -> Self {
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            allow_http: true,
            allow_networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
            ..Config::default()
        };
        let data = DataDir::choose(Some(folder.join("data"))).unwrap();
        let token = data.token();
        let sidecar = Sidecar::open(config, data).await.unwrap();
        let url = format!("http://{}/", sidecar.address());
        let stop = CancellationToken::new();
        let log = sidecar.log().clone();
        let task = tokio::spawn(sidecar.run(stop.clone()));
        let token = std::fs::read_to_string(token).unwrap().trim().to_owned();
        Self { url, token, stop, task, log, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// A POST with the token.
    pub fn post(&self, body: impl Into<String>) -> reqwest::RequestBuilder {
        let request = self.client.post(&self.url).header("content-type", "application/json");
        request.bearer_auth(&self.token).body(body.into())
    }

    /// A call: the result, or the error as it came.
    ///
    /// # Errors
    /// What the sidecar answered.
    ///
    /// # Panics
    /// No answer came.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let text = self.post(body.to_string()).send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        answer.get("result").cloned().ok_or_else(|| answer["error"].clone())
    }

    /// The same, by the types of the wire.
    ///
    /// # Panics
    /// No answer came, or it is an error.
    pub async fn ask<C: Call>(&self, params: &C) -> C::Result {
        let result = self.call(C::METHOD, serde_json::to_value(params).unwrap()).await;
        serde_json::from_str(&result.unwrap().to_string()).unwrap()
    }

    /// Stops it as SIGTERM does, then looks whether its log is sound.
    ///
    /// # Panics
    /// It did not stop cleanly, or its log is not sound.
    pub async fn stop(self) {
        let faults = self.log.read(webhook_log::Snapshot::check).expect("the log works");
        assert_eq!(faults, Vec::<String>::new());
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}
