//! The address guard, from the outside: the release binary, with no exception in its policy, in a world in which every
//! forbidden address answers. "Refused" is what it says; "reached" is what the listeners saw.

mod cases;

use std::{net::IpAddr, path::Path};

use cases::{ADDRESSES, BAD_HEADERS, BAD_TEMPLATES, CONTROL_ADDRESSES, SPELLINGS};
use serde_json::{Value, json};
use webhook_security::{
    certificates::{Authority, EXPIRED, FUTURE, Identity, VALID},
    endpoint::{Behaviour, Endpoints, Greeting},
    names::{Names, Says},
    namespace,
    report::{self, Class},
    sidecar::{Settings, Sidecar},
    subscription,
};

/// A public address whose listener is nobody's secret.
const PUBLIC: &str = "1.1.1.1";
/// Where a proxy would be, if one were believed in.
const PROXY: &str = "http://9.9.9.9:3128";

/// Everything outside the sidecar.
struct World {
    endpoints: Endpoints,
    names: Names,
    authority: Authority,
    folder: tempfile::TempDir,
}

impl World {
    async fn make() -> Self {
        let (endpoints, authority) = (Endpoints::default(), Authority::default());
        let good = authority.certify(&["*.bed.test", PUBLIC, "2606:4700:4700::1111", "10.9.8.7"], VALID);
        endpoints.listen(443, Greeting::Tls(good.acceptor())).await;
        for plain in [80, 3128, 6379, 8069] {
            endpoints.listen(plain, Greeting::Plain).await;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
        let world = Self { endpoints, names: Names::serve().await, authority, folder };
        world.names.put("public.bed.test", Says::Addresses(vec![PUBLIC.parse().unwrap()]));
        world
    }

    /// A sidecar with its default policy, which only trusts our authority besides the system's.
    fn sidecar(&self, data: &Path, network: &str) -> Sidecar {
        let ca = self.folder.path().join("ca.pem");
        let proxies = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
        let environment = proxies.map(|name| (name.to_owned(), PROXY.to_owned())).to_vec();
        let config = format!("[network]\nextra_ca_file = \"{}\"\n{network}", ca.display());
        Sidecar::start(data, &Settings { config, environment })
    }

    /// Connections so far to anything but the public addresses.
    fn forbidden(&self) -> usize {
        let allowed = |address: IpAddr| CONTROL_ADDRESSES.iter().any(|a| a.parse() == Ok(address));
        self.endpoints.connections().iter().filter(|to| !allowed(to.ip())).count()
    }

    /// All connections so far.
    fn connections(&self) -> usize {
        self.endpoints.connections().len()
    }
}

/// What an attempt must say, else what it says instead.
fn expect(attempt: &Value, kind: &str) -> Result<String, String> {
    if attempt["error"]["kind"] == kind {
        Ok(format!("attempt failed: `{kind}`"))
    } else {
        Err(attempt.to_string())
    }
}

/// Sends one event to each URL at the same time; what became of them, in the same order.
async fn send_to(sidecar: &Sidecar, urls: &[String], timeout_s: u64) -> Vec<Value> {
    let mut events = Vec::new();
    for url in urls {
        let made = subscription(url, json!({"timeout_s": timeout_s}));
        let made = sidecar.call("subscription.create", made).await.unwrap_or_else(|e| panic!("{url}: {e}"));
        events.push(sidecar.submit(&made).await);
    }
    let mut attempts = Vec::new();
    for event in events {
        attempts.push(sidecar.outcome(&event).await);
    }
    attempts
}

/// Tries to store a URL through every door there is. Answers the kind when all of them refuse with the same one.
async fn try_to_store(sidecar: &Sidecar, url: &str) -> Result<String, String> {
    let kind = |error: &Value| error["data"]["kind"].as_str().unwrap_or("?").to_owned();
    let created = sidecar.call("subscription.create", subscription(url, json!({}))).await;
    let harmless = subscription("https://public.bed.test/", json!({}));
    let stored = sidecar.call("subscription.create", harmless).await.expect("a harmless one is stored");
    let updated = sidecar.call("subscription.update", json!({"id": stored["id"], "url": url})).await;
    let entries = json!([subscription(url, json!({}))]);
    let synced =
        sidecar.call("subscription.sync", json!({"subscriptions": entries})).await.expect("an answer");
    let by_sync = kind(&synced["errors"][0]["error"]);
    match (created, updated) {
        (Err(created), Err(updated)) if kind(&created) == kind(&updated) && kind(&created) == by_sync => {
            Ok(by_sync)
        }
        (created, updated) => Err(format!("create {created:?}, update {updated:?}, sync {synced}")),
    }
}

async fn refuse_at_save(sidecar: &Sidecar, world: &World, class: &mut Class, url: &str, kind: &str) {
    let before = world.connections();
    let how = match try_to_store(sidecar, url).await {
        Ok(refused) if refused == kind => Ok(format!("not stored (create, update, sync): `{kind}`")),
        Ok(other) => Err(format!("`{other}` instead of `{kind}`")),
        Err(stored) => Err(stored),
    };
    class.add(url, how, world.connections() - before);
}

#[test]
fn nothing_forbidden_is_ever_reached() {
    namespace::inside("nothing_forbidden_is_ever_reached", || async {
        let world = World::make().await;
        let data = tempfile::tempdir().unwrap();
        let sidecar = world.sidecar(data.path(), "");
        let mut controls = Vec::new();
        public_ones_are_reached(&sidecar, &world, &mut controls).await;
        let mut classes = vec![
            spellings(&sidecar, &world).await,
            literals(&sidecar, &world, &mut controls).await,
            names_of_addresses(&sidecar, &world).await,
            tricks_of_names(&sidecar, &world).await,
            redirects(&sidecar, &world).await,
            wrong_tls(&sidecar, &world).await,
            headers(&sidecar, &world).await,
            templates(&sidecar, &world).await,
        ];
        classes.push(own_port(&sidecar, &world).await);
        let (status, output) = sidecar.stop();
        assert!(status.success(), "{output}");
        classes.push(other_policies(&world, &mut controls).await);
        classes.push(wide_networks(&world));
        classes.push(proxies(&world));
        report::write("guard", &classes, &controls);
        for class in &classes {
            assert!(class.held(), "{class:#?}");
        }
    });
}

async fn public_ones_are_reached(sidecar: &Sidecar, world: &World, controls: &mut Vec<(String, String)>) {
    let urls: Vec<String> = CONTROL_ADDRESSES
        .iter()
        .enumerate()
        .map(|(index, address)| {
            let name = format!("control-{index}.bed.test");
            world.names.put(&name, Says::Addresses(vec![address.parse().unwrap()]));
            format!("https://{name}/")
        })
        .chain([format!("https://{PUBLIC}/"), "https://[2606:4700:4700::1111]/".to_owned()])
        .collect();
    let attempts = send_to(sidecar, &urls, 10).await;
    for (url, attempt) in urls.iter().zip(&attempts) {
        assert_eq!(attempt["status"], "success", "{url}: {attempt}");
    }
    assert_eq!(world.endpoints.requests().len(), urls.len(), "every one arrived, once");
    assert_eq!(world.forbidden(), 0);
    for address in CONTROL_ADDRESSES {
        assert!(world.endpoints.connections().iter().any(|to| to.ip().to_string() == *address), "{address}");
        controls.push(((*address).to_owned(), "by name: delivered, 204".to_owned()));
    }
    controls
        .push((format!("https://{PUBLIC}/, https://[2606:4700:4700::1111]/"), "delivered, 204".to_owned()));
}

async fn spellings(sidecar: &Sidecar, world: &World) -> Class {
    let mut class = Class::new("A. Spellings of URLs");
    for (url, kind) in SPELLINGS {
        refuse_at_save(sidecar, world, &mut class, url, kind).await;
    }
    refuse_at_save(sidecar, world, &mut class, &format!("https://a.b/{}", "x".repeat(70_000)), "invalid_url")
        .await;
    refuse_at_save(
        sidecar,
        world,
        &mut class,
        &format!("https://{}.bed.test/", "x".repeat(64)),
        "invalid_url",
    )
    .await;
    let long = vec!["x".repeat(60); 5].join(".");
    refuse_at_save(sidecar, world, &mut class, &format!("https://{long}/"), "invalid_url").await;
    class
}

fn as_host(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

async fn literals(sidecar: &Sidecar, world: &World, controls: &mut Vec<(String, String)>) -> Class {
    let mut class = Class::new("B. Addresses, written into the URL");
    for address in ADDRESSES {
        let url = format!("https://{}/", as_host(address));
        refuse_at_save(sidecar, world, &mut class, &url, "blocked_address").await;
    }
    // The listeners are really there: what the kernel lets anybody dial is dialled, past the sidecar.
    let mut dead = Vec::new();
    let before = world.connections();
    for address in ADDRESSES {
        let dialled = tokio::net::TcpStream::connect((address.parse::<IpAddr>().unwrap(), 443)).await;
        if dialled.is_err() {
            dead.push(*address);
        }
    }
    while world.connections() - before < ADDRESSES.len() - dead.len() {
        tokio::task::yield_now().await;
    }
    let live = ADDRESSES.len() - dead.len();
    controls.push((
        "a plain connect() to each forbidden address".to_owned(),
        format!(
            "{live} of {} have a live listener; Linux itself refuses {}",
            ADDRESSES.len(),
            dead.join(", ")
        ),
    ));
    assert!(dead.len() <= 8, "{dead:?}");
    class
}

async fn names_of_addresses(sidecar: &Sidecar, world: &World) -> Class {
    let mut class = Class::new("B. Addresses, behind a name");
    let mut urls = Vec::new();
    for (index, address) in ADDRESSES.iter().enumerate() {
        let name = format!("b-{index}.bed.test");
        world.names.put(&name, Says::Addresses(vec![address.parse().unwrap()]));
        urls.push(format!("https://{name}/"));
    }
    let before = world.connections();
    let attempts = send_to(sidecar, &urls, 10).await;
    for ((url, address), attempt) in urls.iter().zip(ADDRESSES).zip(&attempts) {
        let asked = world.names.asked(url.trim_start_matches("https://").trim_end_matches('/'));
        assert_eq!(asked, 1, "{url}: the name was looked up, and once");
        class.add(*address, expect(attempt, "blocked_address"), 0);
    }
    class.add("connections of all these together", Ok("none".to_owned()), world.connections() - before);
    class
}

async fn tricks_of_names(sidecar: &Sidecar, world: &World) -> Class {
    let mut class = Class::new("C. Names that lie");
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let says = [
        ("mixed.bed.test", Says::Addresses(vec![ip(PUBLIC), ip("127.0.0.1")]), "blocked_address"),
        ("mixed-first.bed.test", Says::Addresses(vec![ip("10.0.0.1"), ip(PUBLIC)]), "blocked_address"),
        ("mixed-families.bed.test", Says::Addresses(vec![ip(PUBLIC), ip("::1")]), "blocked_address"),
        (
            "mixed-mapped.bed.test",
            Says::Addresses(vec![ip(PUBLIC), ip("::ffff:10.0.0.1")]),
            "blocked_address",
        ),
        ("alias.bed.test", Says::Alias("inner.bed.test".to_owned()), "blocked_address"),
        ("192.168.0.1.nip.io", Says::Addresses(vec![ip("192.168.0.1")]), "blocked_address"),
        ("metadata.google.internal", Says::Addresses(vec![ip("169.254.169.254")]), "blocked_address"),
        ("odoo.local", Says::Addresses(vec![ip("127.0.0.1")]), "blocked_address"),
        ("empty.bed.test", Says::Addresses(Vec::new()), "dns"),
        ("failure.bed.test", Says::Failure, "dns"),
        ("nowhere.bed.test", Says::Alias("nothing.bed.test".to_owned()), "dns"),
        ("silent.bed.test", Says::Nothing, "timeout"),
    ];
    world.names.put("inner.bed.test", Says::Addresses(vec![ip("10.0.0.1")]));
    let urls: Vec<String> = says.iter().map(|(name, ..)| format!("https://{name}/")).collect();
    for (name, said, _) in &says {
        world.names.put(name, said.clone());
    }
    let before = world.connections();
    let attempts = send_to(sidecar, &urls, 2).await;
    for ((name, said, kind), attempt) in says.iter().zip(&attempts) {
        let shown = match said {
            Says::Addresses(all) => format!("{all:?}"),
            said => format!("{said:?}"),
        };
        class.add(format!("{name} says {shown}"), expect(attempt, kind), 0);
    }
    class.add("connections of all these together", Ok("none".to_owned()), world.connections() - before);
    rebinding(sidecar, world, &mut class).await;
    class
}

/// A name that is public when it is looked up first, and private from then on.
async fn rebinding(sidecar: &Sidecar, world: &World, class: &mut Class) {
    let turns = Says::Turns(vec![PUBLIC.parse().unwrap(), "127.0.0.1".parse().unwrap()]);
    world.names.put("rebinding.bed.test", turns);
    let made = subscription("https://rebinding.bed.test/", json!({}));
    let made = sidecar.call("subscription.create", made).await.unwrap();
    let (connections, before) = (world.connections(), world.forbidden());
    let first = sidecar.submit(&made).await;
    let first = sidecar.outcome(&first).await;
    assert_eq!(
        first["status"], "success",
        "the address that was checked is the one that is dialled: {first}"
    );
    assert_eq!((world.names.asked("rebinding.bed.test"), world.connections()), (1, connections + 1));
    for round in 1..=3 {
        let event = sidecar.submit(&made).await;
        let how = expect(&sidecar.outcome(&event).await, "blocked_address");
        let case = format!("rebinding: public at the first look-up, 127.0.0.1 at look-up {}", round + 1);
        class.add(case, how, world.forbidden() - before);
    }
}

async fn redirects(sidecar: &Sidecar, world: &World) -> Class {
    let mut class = Class::new("D. Redirects and hints");
    let targets = [
        "https://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "https://second.bed.test/",
        "//10.0.0.1/",
        "gopher://127.0.0.1:6379/_x",
    ];
    world.names.put("second.bed.test", Says::Addresses(vec!["8.8.8.8".parse().unwrap()]));
    for status in [300, 301, 302, 303, 304, 307, 308] {
        for target in targets {
            let answer = format!(
                "HTTP/1.1 {status} Go\r\nlocation: {target}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            );
            let path = format!("/redirect/{status}/{}", target.len());
            world.endpoints.put(&path, Behaviour::Answers(answer.into_bytes()));
            let before = world.connections();
            let attempt = &send_to(sidecar, &[format!("https://public.bed.test{path}")], 10).await[0];
            class.add(
                format!("{status} to {target}"),
                expect(attempt, "redirect"),
                world.connections() - before - 1,
            );
        }
    }
    let hints = "refresh: 0; url=https://127.0.0.1/\r\nlink: <https://10.0.0.1/>; rel=preload\r\n\
                 alt-svc: h2=\"10.0.0.1:443\", h3=\":443\"\r\nstrict-transport-security: max-age=9\r\nlocation: https://10.0.0.1/";
    let answer = format!("HTTP/1.1 200 OK\r\n{hints}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    world.endpoints.put("/hints", Behaviour::Answers(answer.into_bytes()));
    let before = world.connections();
    for attempt in send_to(sidecar, &vec!["https://public.bed.test/hints".to_owned(); 2], 10).await {
        let how = if attempt["status"] == "success" {
            Ok("delivered once, hints ignored".to_owned())
        } else {
            Err(attempt.to_string())
        };
        class.add("200 with Refresh, Link, Alt-Svc, HSTS, Location", how, 0);
    }
    class.add("connections that the hints led to", Ok("none".to_owned()), world.connections() - before - 2);
    class
}

async fn wrong_tls(sidecar: &Sidecar, world: &World) -> Class {
    let mut class = Class::new("D. TLS");
    let tls = |identity: Identity| Greeting::Tls(identity.acceptor());
    let name = &["*.bed.test"];
    let many: Vec<String> = (0..1000).map(|n| format!("name-{n}.other.test")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let rows = [
        (8441, "expired certificate", tls(world.authority.certify(name, EXPIRED)), "tls"),
        (8442, "certificate of the future", tls(world.authority.certify(name, FUTURE)), "tls"),
        (8443, "certificate for another name", tls(world.authority.certify(&["other.test"], VALID)), "tls"),
        (8448, "certificate for a thousand other names", tls(world.authority.certify(&many, VALID)), "tls"),
        (8444, "self-signed certificate", tls(Identity::self_signed(name)), "tls"),
        (8445, "certificate of an unknown authority", tls(Authority::default().certify(name, VALID)), "tls"),
        (8446, "plaintext on the TLS port", Greeting::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "tls"),
        (8447, "handshake that never finishes", Greeting::Silence, "timeout"),
    ];
    world.endpoints.listen(8440, tls(world.authority.certify(name, VALID))).await;
    let mut urls = vec!["https://public.bed.test:8440/".to_owned()];
    for (port, _, greeting, _) in &rows {
        world.endpoints.listen(*port, greeting.clone()).await;
        urls.push(format!("https://public.bed.test:{port}/"));
    }
    let before = world.endpoints.requests().len();
    let attempts = send_to(sidecar, &urls, 3).await;
    assert_eq!(attempts[0]["status"], "success", "the good certificate: {}", attempts[0]);
    let requests = world.endpoints.requests();
    for ((port, what, _, kind), attempt) in rows.iter().zip(&attempts[1..]) {
        let reached = requests[before..].iter().filter(|request| request.to.port() == *port).count();
        class.add(*what, expect(attempt, kind), reached);
        let length = attempt["error"]["message"].as_str().map_or(0, str::len);
        assert!(length < 500, "what the endpoint says is not all repeated: {attempt}");
    }
    let plain = "http://public.bed.test/";
    refuse_at_save(sidecar, world, &mut class, plain, "invalid_url").await;
    class
}

async fn headers(sidecar: &Sidecar, world: &World) -> Class {
    let mut class = Class::new("F. Custom headers and secrets");
    let before = world.connections();
    for (name, value) in BAD_HEADERS {
        let made = subscription("https://public.bed.test/", json!({"headers": {*name: value}}));
        let how = refused(sidecar.call("subscription.create", made).await, &["invalid_header"]);
        class.add(format!("{name}: {value}"), how, world.connections() - before);
    }
    for secret in [
        "",
        "short",
        "whsec_not base64!!!",
        "whsec_",
        "0123456789abcdef\n",
        "späterspäterspäter",
        "with a space in it",
    ] {
        let made = subscription("https://public.bed.test/", json!({"secret": secret}));
        let how = refused(sidecar.call("subscription.create", made).await, &["invalid_secret"]);
        class.add(format!("secret {secret:?}"), how, world.connections() - before);
    }
    class
}

async fn templates(sidecar: &Sidecar, world: &World) -> Class {
    let mut class = Class::new("G. Templates");
    let before = world.connections();
    let nested = |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
    let mut all: Vec<(String, Value)> = vec![
        ("4,000 nested if".to_owned(), json!(nested("{% if record %}", "{% endif %}", 4000))),
        ("2,000 nested if".to_owned(), json!(nested("{% if record %}", "{% endif %}", 2000))),
        (
            "20,000 else if".to_owned(),
            json!(format!("{{% if record %}}{}{{% endif %}}", "{% else if record %}".repeat(20_000))),
        ),
        (
            "3,000 else if".to_owned(),
            json!(format!("{{% if record %}}{}{{% endif %}}", "{% else if record %}".repeat(3000))),
        ),
        ("70 KiB of text".to_owned(), json!("x".repeat(70 << 10))),
        ("3 nested loops".to_owned(), json!(nested("{% for a in records %}", "{% endfor %}", 3))),
        (
            "3 nested loops through with".to_owned(),
            json!(
                "{% with records as r %}{% for a in r %}{% for b in r %}{% for c in r %}{% endfor %}{% endfor %}{% endfor %}{% endwith %}"
            ),
        ),
        (
            "JSON 40 deep".to_owned(),
            serde_json::from_str(&format!("{}{}", "[".repeat(40), "]".repeat(40))).unwrap(),
        ),
    ];
    all.extend(BAD_TEMPLATES.iter().map(|text| ((*text).to_owned(), json!(text))));
    for (what, template) in all {
        let kinds = &["invalid_template", "limit_exceeded", "payload_too_large"];
        let made = subscription("https://public.bed.test/", json!({"payload_template": template.clone()}));
        let stored = refused(sidecar.call("subscription.create", made).await, kinds);
        let shown =
            refused(sidecar.call("template.preview", json!({"payload_template": template})).await, kinds);
        class.add(what, stored.and(shown), world.connections() - before);
    }
    assert!(sidecar.call("system.info", json!({})).await.is_ok(), "it lives");
    class
}

fn refused(answer: Result<Value, Value>, kinds: &[&str]) -> Result<String, String> {
    let error = match answer {
        Ok(stored) => return Err(stored.to_string()),
        Err(error) => error,
    };
    match error["data"]["kind"].as_str() {
        Some(kind) if kinds.contains(&kind) => Ok(format!("not stored: `{kind}`")),
        Some("invalid_params") if error["code"] == -32602 => Ok("not stored: `invalid_params`".to_owned()),
        _ => Err(error.to_string()),
    }
}

async fn own_port(sidecar: &Sidecar, world: &World) -> Class {
    let mut class = Class::new("C. The sidecar's own port");
    for host in ["public.bed.test", PUBLIC, "127.0.0.1", "localhost"] {
        let url = format!("https://{host}:{}/", sidecar.port());
        let before = world.connections();
        let how = try_to_store(sidecar, &url).await.map(|kind| format!("not stored: `{kind}`"));
        class.add(format!("https://{host}:<its own port>/"), how, world.connections() - before);
    }
    class
}

/// What was stored under a looser policy is judged again under a stricter one, and an opened address opens no neighbour.
async fn other_policies(world: &World, controls: &mut Vec<(String, String)>) -> Class {
    let mut class = Class::new("C. A policy that changed, and neighbours of what is open");
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    world.names.put("open.bed.test", Says::Addresses(vec![ip("10.9.8.7")]));
    world.names.put("neighbour.bed.test", Says::Addresses(vec![ip("10.9.8.8")]));
    world.names.put("both.bed.test", Says::Addresses(vec![ip("10.9.8.7"), ip("10.9.8.8")]));
    let data = tempfile::tempdir().unwrap();
    let loose = world.sidecar(data.path(), "allow_networks = [\"10.9.8.7/32\"]\n");
    let mut stored = Vec::new();
    for url in ["https://10.9.8.7/", "https://open.bed.test/"] {
        stored.push(loose.call("subscription.create", subscription(url, json!({}))).await.unwrap());
        let event = loose.submit(&stored[stored.len() - 1]).await;
        let attempt = loose.outcome(&event).await;
        assert_eq!(attempt["status"], "success", "{attempt}");
        controls.push((format!("{url} with allow_networks = 10.9.8.7/32"), "delivered, 204".to_owned()));
    }
    let before = world.forbidden();
    let neighbours = ["https://neighbour.bed.test/", "https://both.bed.test/"].map(str::to_owned);
    for (url, attempt) in neighbours.iter().zip(send_to(&loose, &neighbours, 10).await) {
        class.add(
            format!("{url} (10.9.8.8)"),
            expect(&attempt, "blocked_address"),
            world.forbidden() - before,
        );
    }
    refuse_at_save(&loose, world, &mut class, "https://10.9.8.8/", "blocked_address").await;
    // sync made the subscriptions its own; they are made anew, under the looser policy
    for subscription in &stored {
        let id = subscription["id"].as_str().unwrap();
        let again = json!({"id": id, "name": "bed", "model": "res.partner", "event_type": "all", "url": subscription["url"]});
        loose.call("subscription.create", again).await.unwrap();
    }
    assert!(loose.stop().0.success());
    let strict = world.sidecar(data.path(), "");
    for subscription in &stored {
        let before = world.connections();
        let event = strict.submit(subscription).await;
        let how = expect(&strict.outcome(&event).await, "blocked_address");
        class.add(
            format!("{} after its network was closed", subscription["url"]),
            how,
            world.connections() - before,
        );
        let again = strict.call("delivery.redeliver", json!({"event_id": event})).await.map(|_| ());
        assert!(again.is_ok(), "{again:?}");
        let how = expect(&strict.outcome(&event).await, "blocked_address");
        class.add(format!("{} redelivered", subscription["url"]), how, world.connections() - before);
        let params = json!({"subscription_id": subscription["id"]});
        let test = strict.call("delivery.test", params).await.unwrap();
        let how = expect(&strict.outcome(test["event_id"].as_str().unwrap()).await, "blocked_address");
        class.add(format!("{} tested", subscription["url"]), how, world.connections() - before);
    }
    assert!(strict.stop().0.success());
    class
}

fn wide_networks(world: &World) -> Class {
    let mut class = Class::new("C. Configurations that would switch the guard off");
    for wide in
        ["0.0.0.0/0", "127.0.0.1/0", "::/0", "*", "10.0.0.0/7", "fc00::/7", "2000::/31", "localhost", ""]
    {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::config(format!("[network]\nallow_networks = [\"{wide}\"]\n"));
        let mut command = webhook_security::sidecar::command(folder.path(), &settings);
        let output = command.arg("check-config").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let named = !output.status.success() && said.contains("allow_networks");
        class.add(wide, if named { Ok("does not start".to_owned()) } else { Err(said) }, 0);
    }
    let _ = world;
    class
}

fn proxies(world: &World) -> Class {
    let mut class = Class::new("D. Proxies in the environment");
    let reached = world.endpoints.connections().iter().filter(|to| to.port() == 3128).count();
    class.add(
        "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY (upper and lower case) during all of this",
        Ok("ignored".to_owned()),
        reached,
    );
    class
}
