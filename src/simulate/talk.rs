//! POSTs one after another to a receiver, over one connection for as long as it lives.

use std::time::Duration;

use bytes::Bytes;
use url::Url;

use super::receiver::{Answer, Line, Receiver, Unreached};
use crate::deadline::Deadline;

/// A receiver, and the connection on which it gave its last answer.
#[derive(Debug)]
pub struct Talk {
    receiver: Receiver,
    line: Option<Line>,
}

impl Talk {
    /// With a receiver that nobody has talked to yet.
    pub fn new(receiver: Receiver) -> Self {
        Self { receiver, line: None }
    }

    /// The receiver's URL.
    pub fn url(&self) -> &Url {
        self.receiver.url()
    }

    /// One POST of notifications; all of it, a new connection included, within this time.
    ///
    /// # Errors
    ///
    /// [`Unreached`]; the next POST has a connection of its own then.
    pub async fn notify(&mut self, body: Bytes, within: Duration) -> Result<Answer, Unreached> {
        let (receiver, kept) = (&self.receiver, self.line.take());
        let posting = async {
            let mut line = receiver.line(kept).await?;
            let answer = line.exchange(&receiver.notification(body)).await?;
            Ok((answer, line))
        };
        let (answer, line) =
            Deadline::after(within).limit(posting).await.map_err(|_| Unreached::Late(within))??;
        self.line = Some(line);
        Ok(answer)
    }
}
