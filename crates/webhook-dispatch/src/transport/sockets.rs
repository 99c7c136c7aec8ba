//! Sloppy servers on real sockets of this machine.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use webhook_model::endpoint_url::UrlPolicy;

use super::*;

fn policy() -> NetworkPolicy {
    let addresses = AddressPolicy { allow: vec!["127.0.0.0/8".parse().unwrap()] };
    NetworkPolicy { allow_http: true, addresses, ..NetworkPolicy::default() }
}

async fn post(transport: &HttpTransport, url: &str) -> Outcome {
    send(transport, url, Bytes::from_static(b"{}")).await
}

async fn send(transport: &HttpTransport, url: &str, body: Bytes) -> Outcome {
    let rules = UrlPolicy { allow_http: true, addresses: policy().addresses, own_port: 0 };
    let request = Request {
        url: Arc::new(EndpointUrl::parse(url, &rules).unwrap()),
        headers: HeaderMap::new(),
        body,
        secrets: Secrets::default(),
        timeout: Duration::from_secs(5),
        again_after: None,
        room: Room::alone(),
    };
    let exchange = transport.send(request.clone()).await;
    match exchange.is_unanswered {
        true => transport.send(Request { again_after: Some(exchange.duration), ..request }).await.outcome,
        false => exchange.outcome,
    }
}

/// Reads one request, which ends with its body `{}`.
async fn request(stream: &mut TcpStream) -> bool {
    let (mut text, mut piece) = (Vec::new(), [0; 1024]);
    while !text.ends_with(b"\r\n\r\n{}") {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return false,
            Ok(n) => text.extend_from_slice(&piece[..n]),
        }
    }
    true
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn the_final_status_line_decides_whatever_stands_beside_it() {
    let answers = [
        "HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n a blank before it\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n blank: first\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-\u{e9}: b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A: b\r\n folded\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n: nothing\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\n\r\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n2\r\nok\r\n0\r\nno colon\r\n\r\n",
    ];
    let transport = HttpTransport::new(policy()).unwrap();
    for answer in answers {
        let (listener, address) = listen().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let outcome = post(&transport, &format!("http://{address}/")).await;
        assert!(matches!(outcome, Outcome::Response { status: 200, .. }), "{answer:?}: {outcome:?}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_kept_connection_that_ends_without_an_answer_costs_no_delivery() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let (mut kept, _) = listener.accept().await.unwrap();
        request(&mut kept).await;
        kept.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        // The second request comes on the same connection, and finds it ended.
        assert!(request(&mut kept).await);
        drop(kept);
        let (mut fresh, _) = listener.accept().await.unwrap();
        assert!(request(&mut fresh).await);
        fresh.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        // A fresh one that ends so is not tried again.
        let (mut third, _) = listener.accept().await.unwrap();
        assert!(request(&mut third).await);
        drop(third);
        listener
    });
    let transport = HttpTransport::new(policy()).unwrap();
    let url = format!("http://{address}/");
    assert!(matches!(post(&transport, &url).await, Outcome::Response { status: 200, .. }));
    assert!(matches!(post(&transport, &url).await, Outcome::Response { status: 201, .. }));
    let ended = post(&transport, &url).await;
    assert!(matches!(ended, Outcome::Failed { failure: Failure::Protocol, .. }), "{ended:?}");
    server.await.unwrap();
}

/// A server with this certificate that reads one request and returns 200.
async fn tls_server(certificate: CertificateDer<'static>, key: rcgen::KeyPair) -> SocketAddr {
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await else {
            return;
        };
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    });
    address
}

#[tokio::test]
async fn a_listed_certificate_is_trusted_for_its_names_while_it_is_valid() {
    let directory = tempfile::tempdir().unwrap();
    for (name, authority, expired, listed, trusted) in [
        ("127.0.0.1", true, false, true, true),
        ("127.0.0.1", false, false, true, true),
        ("127.0.0.2", true, false, true, false),
        ("127.0.0.2", false, false, true, false),
        ("127.0.0.1", true, true, true, false),
        ("127.0.0.1", true, false, false, false),
    ] {
        let mut parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        if authority {
            parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        if expired {
            parameters.not_after = rcgen::date_time_ymd(2001, 1, 1);
            parameters.not_before = rcgen::date_time_ymd(2000, 1, 1);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let other_key = rcgen::KeyPair::generate().unwrap();
        let other = parameters.self_signed(&other_key).unwrap();
        let file = directory.path().join("extra.pem");
        std::fs::write(&file, if listed { certificate.pem() } else { other.pem() }).unwrap();
        let address = tls_server(certificate.der().clone(), key).await;
        let policy = NetworkPolicy { extra_ca_file: Some(file), ..policy() };
        let outcome = post(&HttpTransport::new(policy).unwrap(), &format!("https://{address}/")).await;
        let what = (name, authority, expired, listed);
        match outcome {
            Outcome::Response { status: 200, .. } => assert!(trusted, "{what:?}"),
            Outcome::Failed { failure: Failure::Tls, .. } => assert!(!trusted, "{what:?}"),
            other => panic!("{what:?}: {other:?}"),
        }
    }
}

#[test]
fn an_announced_idle_time_is_understood_with_time_for_the_way() {
    for (said, seconds) in [
        ("timeout=5, max=100", Some(4)),
        ("max=100, timeout=61", Some(32)),
        ("Timeout = \"4\"", Some(2)),
        ("timeout=1", Some(0)),
        ("timeout=0", Some(0)),
        ("timeout=99999999999999999999", None),
        ("max=5", None),
        ("", None),
    ] {
        assert_eq!(announced_idle(said), seconds.map(Duration::from_secs), "{said}");
    }
}

#[tokio::test]
async fn a_connection_is_not_used_beyond_the_time_that_its_endpoint_announced() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let (mut kept, _) = listener.accept().await.unwrap();
        request(&mut kept).await;
        let answer = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n";
        kept.write_all(answer).await.unwrap();
        // It stays open, so that only the announcement can keep the second request from it.
        tokio::select! {
            reused = request(&mut kept) => assert!(!reused, "the connection was used again"),
            fresh = listener.accept() => {
                let (mut fresh, _) = fresh.unwrap();
                request(&mut fresh).await;
                fresh.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            }
        }
    });
    let transport = HttpTransport::new(policy()).unwrap();
    let url = format!("http://{address}/");
    assert!(matches!(post(&transport, &url).await, Outcome::Response { status: 200, .. }));
    assert!(matches!(post(&transport, &url).await, Outcome::Response { status: 201, .. }));
    server.await.unwrap();
}

#[tokio::test]
async fn a_stray_byte_behind_an_answer_costs_no_delivery() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\nx",
            "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
        ] {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Whoever sends on this connection finds it closed.
            stream.shutdown().await.unwrap();
        }
    });
    let transport = HttpTransport::new(policy()).unwrap();
    let url = format!("http://{address}/");
    for status in [200, 201] {
        let outcome = post(&transport, &url).await;
        assert!(matches!(outcome, Outcome::Response { status: got, .. } if got == status), "{outcome:?}");
    }
    server.await.unwrap();
}

/// An answer that comes while the body is still being sent, on a connection that is then reset, for nobody reads the rest.
#[tokio::test]
async fn an_early_answer_counts_though_the_connection_is_reset() {
    const TIMES: usize = 20;
    for bytes in [250_000, 8 << 20] {
        let (listener, address) = listen().await;
        let server = tokio::spawn(async move {
            for _ in 0..TIMES {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut text = Vec::new();
                while !text.windows(4).any(|end| end == b"\r\n\r\n") {
                    assert!(stream.read_buf(&mut text).await.unwrap() > 0);
                }
                // There is more to read, so that closing resets.
                assert_eq!(stream.peek(&mut [0]).await.unwrap(), 1);
                let answer = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let transport = HttpTransport::new(policy()).unwrap();
        for time in 0..TIMES {
            let outcome =
                send(&transport, &format!("http://{address}/"), Bytes::from(vec![b'x'; bytes])).await;
            assert!(matches!(outcome, Outcome::Response { status: 413, .. }), "{bytes}, {time}: {outcome:?}");
        }
        server.await.unwrap();
    }
}

/// The first address takes no connection: its queue is full, so the kernel drops what comes.
#[tokio::test]
async fn of_two_addresses_a_dead_one_leaves_time_for_the_other() {
    let (living, address) = listen().await;
    let dead = tokio::net::TcpSocket::new_v4().unwrap();
    dead.set_reuseaddr(true).unwrap();
    dead.bind((Ipv4Addr::new(127, 0, 0, 2), address.port()).into()).unwrap();
    let dead = dead.listen(0).unwrap();
    let full: Vec<_> = (0..4).map(|_| tokio::spawn(TcpStream::connect(dead.local_addr().unwrap()))).collect();
    tokio::task::yield_now().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = living.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    });
    let etc = tempfile::tempdir().unwrap();
    std::fs::write(etc.path().join("hosts"), "127.0.0.2 two.example\n127.0.0.1 two.example\n").unwrap();
    let mut transport = HttpTransport::new(policy()).unwrap();
    let dns = system_dns::SystemDns::new(etc.path().to_path_buf(), 1);
    transport.resolver = Arc::new(transport.resolver.as_ref().clone().with_dns(dns));
    transport.clients = Mutex::default();
    let outcome = post(&transport, &format!("http://two.example:{}/", address.port())).await;
    assert!(matches!(outcome, Outcome::Response { status: 200, .. }), "{outcome:?}");
    server.await.unwrap();
    full.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A body that tells when nobody has it any more.
struct Watched(Vec<u8>, #[expect(dead_code, reason = "dropped with it")] tokio::sync::oneshot::Sender<()>);

impl AsRef<[u8]> for Watched {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[tokio::test]
async fn what_the_endpoint_has_read_is_held_no_longer_while_it_hangs() {
    const BYTES: usize = 250_000;
    let (listener, address) = listen().await;
    let (dropped, gone) = tokio::sync::oneshot::channel();
    let rules = UrlPolicy { allow_http: true, addresses: policy().addresses, own_port: 0 };
    let request = Request {
        url: Arc::new(EndpointUrl::parse(&format!("http://{address}/"), &rules).unwrap()),
        headers: HeaderMap::new(),
        body: Bytes::from_owner(Watched(vec![b'x'; BYTES], dropped)),
        secrets: Secrets::default(),
        timeout: Duration::from_secs(60),
        again_after: None,
        room: Room::alone(),
    };
    let transport = HttpTransport::new(policy()).unwrap();
    let sending = tokio::spawn(async move { transport.send(request).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(&[b'x'; BYTES]) {
        assert!(stream.read_buf(&mut text).await.unwrap() > 0);
    }
    let head = String::from_utf8_lossy(&text).to_lowercase();
    assert!(head.contains(&format!("content-length: {BYTES}\r\n")) && !head.contains("transfer-encoding"));
    assert!(gone.await.is_err(), "it is dropped");
    assert!(!sending.is_finished(), "and the attempt goes on");
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    assert!(matches!(sending.await.unwrap().outcome, Outcome::Response { status: 200, .. }));
}

/// A head that does not end, or a very long one: the limit is what a connection's buffer may take.
#[tokio::test]
async fn an_answers_head_has_an_end() {
    for (bytes, is_read) in [(16 << 10, true), (200 << 10, false)] {
        let (listener, address) = listen().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {}\r\n\r\n", "x".repeat(bytes));
            let _ = stream.write_all(head.as_bytes()).await;
        });
        let outcome = post(&HttpTransport::new(policy()).unwrap(), &format!("http://{address}/")).await;
        match outcome {
            Outcome::Response { status: 200, .. } => assert!(is_read, "{bytes}"),
            Outcome::Failed { failure: Failure::Protocol, .. } => assert!(!is_read, "{bytes}"),
            other => panic!("{bytes}: {other:?}"),
        }
        server.await.unwrap();
    }
}
