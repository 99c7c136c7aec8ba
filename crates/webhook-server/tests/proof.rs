//! Who is at the other end: what the commands send to somebody who took the sidecar's port, and the socket that nobody
//! can take.

mod common;

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::{Arc, Mutex},
};

use common::{Operator, SUBSCRIPTION};

/// Somebody who listens and always answers the same; what he heard.
fn squatter(answer: &'static str) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard = Arc::<Mutex<Vec<u8>>>::default();
    let ear = Arc::clone(&heard);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut bytes) {
                ear.lock().unwrap().extend(&bytes[..length]);
                if stream.write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    (address, heard)
}

/// Commands go there.
fn point(operator: &Operator, address: &str) {
    let file = operator.data().join("address");
    fs::write(&file, address).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
}

const CALLING: [&[&str]; 6] = [
    &["status"],
    &["subscriptions", "list"],
    &["deliveries", "list"],
    &["deliveries", "redeliver", SUBSCRIPTION],
    &["token", "rotate"],
    &["deliveries", "show", SUBSCRIPTION],
];

#[test]
fn who_took_the_port_hears_no_token_from_any_command_and_is_told_from_the_sidecar() {
    let mut operator = Operator::with_sidecar();
    operator.stop();
    let answers = [
        "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}",
        "HTTP/1.1 200 OK\r\nx-mcp-proof: 00,,ff\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-mcp-proof: \r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ];
    for answer in answers {
        let (address, heard) = squatter(answer);
        point(&operator, &address);
        for command in CALLING {
            let ran = operator.run(command);
            assert_ne!(ran.code, 0, "{command:?}");
            assert!(ran.err.contains("nothing was sent to it"), "{command:?}: {}", ran.err);
        }
        let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
        assert!(heard.matches("x-mcp-challenge").count() >= CALLING.len(), "{heard}");
        let secrets = [operator.token("admin_token"), operator.token("token"), "authorization".to_owned()];
        assert!(
            secrets.iter().all(|secret| !heard.contains(secret)) && !heard.contains("jsonrpc"),
            "{heard}"
        );
    }
}

fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn calls_come_by_a_socket_that_goes_and_comes_with_the_sidecar() {
    let mut operator = Operator::new();
    let socket = operator.folder.path().join("run/socket");
    fs::create_dir(socket.parent().unwrap()).unwrap();
    let place = [("MCP_WEBHOOKD_SERVER_SOCKET", socket.to_str().unwrap())];
    operator.start_with(&[], &place);
    let mode = fs::metadata(&socket).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o666, "a token is asked for, and no other user could call otherwise");
    let page = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert!(ask(&socket, page).starts_with("HTTP/1.1 200"));
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"system.info"}"#;
    let post = |authorization: &str| {
        let length = call.len();
        let head =
            "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n";
        ask(&socket, &format!("{head}{authorization}content-length: {length}\r\n\r\n{call}"))
    };
    assert!(post("").starts_with("HTTP/1.1 401"));
    let token = operator.token("token");
    let answer = post(&format!("authorization: Bearer {token}\r\n"));
    assert!(answer.contains("\"result\""), "{answer}");
    // The commands go that way, whoever is on the port.
    point(&operator, "127.0.0.1:1");
    let status = operator.run(&["status"]);
    assert!(status.code == 0 && status.out.contains("unix://"), "{status:?}");
    operator.stop();
    assert!(!socket.exists());
    // What one left that was killed is no obstacle.
    drop(UnixListener::bind(&socket).unwrap());
    operator.start_with(&[], &place);
    assert!(ask(&socket, page).starts_with("HTTP/1.1 200"));
    operator.stop();
    // As under systemd, which makes a folder.
    let folder = socket.parent().unwrap().to_str().unwrap();
    operator.start_with(&[], &[("RUNTIME_DIRECTORY", folder)]);
    assert!(ask(&socket, page).starts_with("HTTP/1.1 200"));
    operator.stop();
    operator.start_with(&[], &[("RUNTIME_DIRECTORY", folder), ("MCP_WEBHOOKD_SERVER_SOCKET", "")]);
    assert!(!socket.exists(), "the operator wants none");
    assert_eq!(operator.run(&["status"]).code, 0);
    operator.stop();
}

#[test]
fn a_socket_that_another_could_replace_or_has_is_refused() {
    let operator = Operator::new();
    let folder = operator.folder.path();
    let refused = |what: &str, socket: &Path, words: &str| {
        let mut command = operator.command(&["--listen", "127.0.0.1:0", "serve"]);
        let ran = command.env("MCP_WEBHOOKD_SERVER_SOCKET", socket).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(!ran.status.success() && said.contains(words), "{what}: {said}");
        assert!(said.contains("[server] socket"), "{what}: no remedy in {said}");
    };
    for (name, mode) in [("all", 0o777), ("group", 0o770), ("sticky", 0o1777)] {
        fs::create_dir_all(folder.join(name).join("own")).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
        refused(name, &folder.join(name).join("socket"), "could be replaced by others");
        if mode & 0o1000 == 0 {
            refused(name, &folder.join(name).join("own/socket"), "could be replaced by others");
        }
    }
    refused("no folder", &folder.join("nowhere/socket"), "cannot be looked at");
    let file = folder.join("file");
    fs::write(&file, "mine").unwrap();
    refused("a file", &file, "no socket");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let taken = folder.join("taken");
    let _other = UnixListener::bind(&taken).unwrap();
    refused("another's", &taken, "another program listens");
    assert!(fs::metadata(&taken).unwrap().file_type().is_socket());
    let link = folder.join("link");
    std::os::unix::fs::symlink(folder.join("nothing"), &link).unwrap();
    refused("a link", &link, "no socket");
}
