//! Listening sockets: TCP and Unix, bound here or passed by systemd.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;
use tracing::{debug, info};

use crate::config::{Environment, Listen};

/// A socket that connections arrive at.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// A connection as it arrived.
pub type Stream = Either<TcpStream, UnixStream>;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peer {
    /// Somebody at this address.
    Address(IpAddr),
    /// Somebody on this machine who may open the socket's file.
    Unix,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address.
    pub address: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Sockets that systemd has passed, by what they are for.
#[derive(Debug, Default)]
pub struct Passed {
    /// For the public listener.
    pub public: Vec<Socket>,
    /// For the admin listener.
    pub admin: Option<Socket>,
}

impl Socket {
    /// Binds a socket and says so in the log.
    ///
    /// # Errors
    ///
    /// [`BindError`]
    pub async fn bind(listen: &Listen, listener: &'static str) -> Result<Self, BindError> {
        let bound = match listen {
            Listen::Address(address) => TcpListener::bind(address).await.map(Self::Tcp),
            Listen::Unix(path) => bind_unix(path).map(Self::Unix),
        };
        let socket = bound.map_err(|source| BindError { address: listen.to_string(), source })?;
        info!(listener, address = socket.address(), "listening");
        Ok(socket)
    }

    /// Where it is, as far as it has an address.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(|address| address.to_string()).unwrap_or_default(),
            Self::Unix(socket) => {
                let address = socket.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                Listen::Unix(path.map(PathBuf::from).unwrap_or_default()).to_string()
            }
        }
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, address) = socket.accept().await?;
                // Answers are small and whole; there is nothing to wait for.
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "a connection ended before it began");
                }
                Ok((Either::Left(stream), Peer::Address(address.ip().to_canonical())))
            }
            Self::Unix(socket) => {
                socket.accept().await.map(|(stream, _)| (Either::Right(stream), Peer::Unix))
            }
        }
    }
}

impl Peer {
    /// The address, if there is one.
    pub(super) fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Unix => None,
        }
    }
}

impl Passed {
    /// Takes what systemd has passed (sd_listen_fds(3)). The socket that its unit names "admin" (`FileDescriptorName=`) is
    /// for the admin listener, every other one for the public.
    ///
    /// # Errors
    ///
    /// [`BindError`], named by the descriptor, for what is not a stream socket that listens, and for a second "admin".
    pub fn take(environment: &Environment) -> Result<Self, BindError> {
        let mut passed = ListenFd::from_env();
        let names: Vec<&str> = environment.get("LISTEN_FDNAMES").unwrap_or_default().split(':').collect();
        let mut sockets = Self::default();
        for index in 0..passed.len() {
            let name = names.get(index).copied().unwrap_or_default();
            let socket = take(&mut passed, index).map_err(|source| BindError {
                address: format!("socket {index} of systemd ({name})"),
                source,
            })?;
            let listener = if name == "admin" { "admin" } else { "public" };
            info!(listener, address = socket.address(), systemd = name, "listening");
            match listener {
                "admin" if sockets.admin.is_some() => {
                    return Err(BindError {
                        address: format!("socket {index} of systemd ({name})"),
                        source: io::Error::new(
                            io::ErrorKind::AlreadyExists,
                            "there is one of this name already",
                        ),
                    });
                }
                "admin" => sockets.admin = Some(socket),
                _ => sockets.public.push(socket),
            }
        }
        Ok(sockets)
    }
}

fn take(passed: &mut ListenFd, index: usize) -> io::Result<Socket> {
    let gone = || io::Error::new(io::ErrorKind::NotFound, "it is not there");
    if let Ok(socket) = passed.take_tcp_listener(index) {
        let socket = socket.ok_or_else(gone)?;
        socket.set_nonblocking(true)?;
        return TcpListener::from_std(socket).map(Socket::Tcp);
    }
    let socket = passed.take_unix_listener(index)?.ok_or_else(gone)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket).map(Socket::Unix)
}

/// A file that an earlier run has left is replaced; one that somebody listens on is not.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_left = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    // Any other failure, such as one of permission, does not say that nobody listens.
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_left && std::os::unix::net::UnixStream::connect(path).is_err_and(refused) {
        fs::remove_file(path)?;
    }
    let socket = UnixListener::bind(path)?;
    // The proxy's user is let in by the group; who may reach it at all, the directory says.
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(socket)
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}
