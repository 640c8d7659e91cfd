//! Asking the daemon's admin listener.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, StatusCode, header::HOST};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use crate::{
    client::{Broken, converse},
    config::Listen,
    deadline::Deadline,
};

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum AskError {
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
        source: Broken,
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
pub(in crate::cli) async fn ask(place: &Listen, path: &str) -> Result<String, AskError> {
    let answer = Deadline::after(ANSWER_WITHIN).limit(connect(place, path)).await;
    answer.unwrap_or_else(|_| Err(AskError::Silent { place: place.clone() }))
}

async fn connect(place: &Listen, path: &str) -> Result<String, AskError> {
    let absent = |source| AskError::Absent { place: place.clone(), source };
    match place {
        Listen::Address(address) => {
            question(TcpStream::connect(address).await.map_err(absent)?, place, path).await
        }
        Listen::Unix(socket) => {
            question(UnixStream::connect(socket).await.map_err(absent)?, place, path).await
        }
    }
}

async fn question<S>(stream: S, place: &Listen, path: &str) -> Result<String, AskError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = Request::get(path).header(HOST, "graphhook").body(Empty::<Bytes>::new());
    let request = request.expect("a path of ours makes a request");
    let answer = converse(stream, request, ANSWER_BYTES_MAX).await;
    let answer = answer.map_err(|source| AskError::Broken { place: place.clone(), source })?;
    match answer.status() {
        StatusCode::OK => Ok(String::from_utf8_lossy(answer.body()).into_owned()),
        status => Err(AskError::Stranger { place: place.clone(), status }),
    }
}

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// `/status` lists a hundred subscriptions at most; what else it holds is small.
const ANSWER_BYTES_MAX: usize = 1 << 20;
