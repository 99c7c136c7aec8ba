//! Where callers come in: a TCP port, and a Unix socket that no other program can take while the sidecar is down.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

use crate::{advice::Advise, config::Config};

/// What the kernel takes of an answer that is not read, which is memory of the service, too; by itself it would take 4 MiB.
const SEND_BYTES: u32 = 256 << 10;
/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 1024;
const OTHER_SOCKET: &str = "give another path with [server] socket, or none";

/// Both.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    unix: Option<OwnSocket>,
}

/// A caller's connection.
#[derive(Debug)]
pub enum Caller {
    /// By way of the port.
    Tcp(TcpStream),
    /// By way of the socket.
    Unix(UnixStream),
}

impl Listener {
    /// Listens on `[server] listen`, and on `[server] socket` where there is one.
    ///
    /// # Errors
    /// What is in the way, with the remedy.
    pub async fn bind(config: &Config) -> Result<Self> {
        let tcp = listen(config.listen).advise(
            format!("{} cannot be listened on", config.listen),
            "end what listens there already, or choose another address with --listen ADDR:PORT",
        )?;
        let unix = match &config.socket {
            Some(path) if path.as_os_str().is_empty() => None,
            Some(path) => Some(OwnSocket::bind(std::path::absolute(path)?)?),
            // Nobody has asked for this one.
            None => in_runtime_directory().and_then(|path| {
                let bound = OwnSocket::bind(path);
                bound.inspect_err(|error| tracing::warn!("no calls come by a socket: {error}")).ok()
            }),
        };
        Ok(Self { tcp, unix })
    }

    /// Address and port.
    ///
    /// # Errors
    /// The system said no.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The socket's path.
    pub fn socket(&self) -> Option<&Path> {
        self.unix.as_ref().map(|socket| &*socket.path)
    }

    /// The next caller.
    ///
    /// # Errors
    /// The system said no: out of file descriptors, for example.
    pub async fn accept(&self) -> io::Result<Caller> {
        let Some(unix) = &self.unix else { return Self::by_port(&self.tcp).await };
        tokio::select! {
            caller = Self::by_port(&self.tcp) => caller,
            accepted = unix.listener.accept() => Ok(Caller::Unix(accepted?.0)),
        }
    }

    async fn by_port(tcp: &TcpListener) -> io::Result<Caller> {
        let (stream, _) = tcp.accept().await?;
        let _ = stream.set_nodelay(true);
        Ok(Caller::Tcp(stream))
    }
}

/// `socket` in the (first) folder that systemd made for the service.
fn in_runtime_directory() -> Option<PathBuf> {
    let folders = std::env::var_os("RUNTIME_DIRECTORY")?;
    let first = std::env::split_paths(&folders).next()?;
    first.is_absolute().then(|| first.join("socket"))
}

/// Accepted connections inherit the size of what they may have to send.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A socket that goes away with the sidecar.
#[derive(Debug)]
struct OwnSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl OwnSocket {
    fn bind(path: PathBuf) -> Result<Self> {
        let place = path.display();
        check_folders(&path)?;
        clear(&path)?;
        let said = format!("the socket {place} cannot be listened on");
        let listener = UnixListener::bind(&path).advise(&said, OTHER_SOCKET)?;
        // Whoever may come in has a token, as on the port; what nobody else may is to put another socket here.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).advise(&said, OTHER_SOCKET)?;
        Ok(Self { listener, path })
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Nobody but the sidecar's user and root can put something in the place of `path`.
fn check_folders(path: &Path) -> Result<()> {
    let place = path.display();
    let said = || format!("the folder of the socket {place} cannot be looked at");
    let folder = path.parent().unwrap_or(path).canonicalize().advise(said(), OTHER_SOCKET)?;
    let own = rustix::process::geteuid().as_raw();
    for (depth, folder) in folder.ancestors().enumerate() {
        let found = fs::metadata(folder).advise(said(), OTHER_SOCKET)?;
        let is_open = found.mode() & 0o022 != 0;
        // In a folder with the sticky bit nobody moves what is another's.
        let is_kept = depth > 0 && found.mode() & 0o1000 != 0;
        if is_open && !is_kept || ![0, own].contains(&found.uid()) {
            bail!(
                "the socket {place} could be replaced by others: {} is not the sidecar's own or root's alone to write; \
                 give a path in a folder of the sidecar's own with [server] socket",
                folder.display()
            );
        }
    }
    Ok(())
}

/// Removes what a sidecar left that was killed.
fn clear(path: &Path) -> Result<()> {
    let place = path.display();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(found) if !found.file_type().is_socket() => {
            bail!("{place} is there and no socket; {OTHER_SOCKET}");
        }
        _ => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        _ => bail!("another program listens on the socket {place}; end it, or {OTHER_SOCKET}"),
    }
    fs::remove_file(path).advise(format!("the old socket {place} cannot be removed"), OTHER_SOCKET)
}
