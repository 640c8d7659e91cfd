//! Asking the daemon's admin listener.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, body::Incoming, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use crate::{config::Listen, deadline::Deadline};

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// Nobody listens there.
    #[error("no daemon answers at {place}; look at systemctl status graphhook, and at admin.listen")]
    Absent {
        /// Where it was asked.
        place: Listen,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It took the question and gave no answer.
    #[error("whoever listens at {place} does not answer within {} s: look at the log", ANSWER_WITHIN.as_secs())]
    Silent {
        /// Where it was asked.
        place: Listen,
    },
    /// The conversation broke.
    #[error("the answer of {place} broke off; perhaps this is no admin listener")]
    Broken {
        /// Where it was asked.
        place: Listen,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// It is somebody else.
    #[error("{place} answers with {status}: this is no admin listener of a graphhook")]
    Stranger {
        /// Where it was asked.
        place: Listen,
        /// What it says.
        status: StatusCode,
    },
}

/// Asks for a page.
pub(super) async fn ask(place: &Listen, path: &str) -> Result<String, AskError> {
    let answer = Deadline::after(ANSWER_WITHIN).limit(connect(place, path)).await;
    answer.unwrap_or_else(|_| Err(AskError::Silent { place: place.clone() }))
}

async fn connect(place: &Listen, path: &str) -> Result<String, AskError> {
    let absent = |source| AskError::Absent { place: place.clone(), source };
    match place {
        Listen::Address(address) => {
            converse(TcpStream::connect(address).await.map_err(absent)?, place, path).await
        }
        Listen::Unix(socket) => {
            converse(UnixStream::connect(socket).await.map_err(absent)?, place, path).await
        }
    }
}

async fn converse<S>(stream: S, place: &Listen, path: &str) -> Result<String, AskError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |source| AskError::Broken { place: place.clone(), source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::get(path).header(HOST, "graphhook").body(Empty::<Bytes>::new());
    let request = request.expect("a path of ours makes a request");
    let exchange = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        Ok((status, read(answer.into_body()).await?))
    };
    // The connection only moves bytes; it ends when the sender is dropped with the exchange, or breaks it.
    let (answer, _) = tokio::join!(exchange, connection);
    match answer.map_err(broken)? {
        (StatusCode::OK, body) => Ok(String::from_utf8_lossy(&body).into_owned()),
        (status, _) => Err(AskError::Stranger { place: place.clone(), status }),
    }
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await.transpose()?
        && bytes.len() < ANSWER_BYTES_MAX
    {
        bytes.extend(frame.into_data().unwrap_or_default());
    }
    Ok(bytes)
}

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Ten thousand subscriptions take three.
const ANSWER_BYTES_MAX: usize = 16 << 20;
