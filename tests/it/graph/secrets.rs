//! No secret in the log at any level, in an error, or in what is printed for debugging.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use graphhook::error::Chain;
use graphhook::simulate::api::{Fault, Operation, Trouble};
use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use super::{CLIENT_SECRET, Desk, STATE, nothing_known};

/// What this thread logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it held").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_is_shown() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    // What other threads ask for first is not worth logging to any of them, and tracing remembers that for all; unless
    // somebody wants everything.
    tracing::subscriber::set_global_default(tracing_subscriber::registry()).ok();
    let _logging = tracing::subscriber::set_default(subscriber);

    let desk = Desk::open().await;
    let settings = desk.settings(super::by_secret());
    let graph = desk.graph_by(&settings).await;
    let mut shown = format!("{settings:?} {graph:?}");
    let new = desk.new_of("a");
    let made = graph.create(&new, &nothing_known()).await.expect("it is created");
    shown += &format!("{new:?} {made:?}");
    let twin = graph.create(&new, &nothing_known()).await.expect_err("there is one");
    shown += &format!("{twin:?} {}", Chain(&twin));
    let code = Some("invalid_client".to_owned());
    let trouble = Trouble::Status { status: 401, retry_after: None, code };
    desk.stand.api.fail(Fault { operation: Operation::Token, times: 1, trouble });
    desk.stand.api.fail(Fault::status(Operation::List, 401));
    let error = graph.list().await.expect_err("it is signed out");
    shown += &format!("{error:?} {}", Chain(&error));

    let log = String::from_utf8(log.0.lock().expect("nobody panics with it held").clone()).expect("text");
    assert!(log.contains("asked Graph") && log.contains("graph_sign_in_failed"), "it was logged: {log}");
    let call = desk.calls(Operation::Create).pop().expect("it came");
    assert!(log.contains(&call.request_id), "Graph's own id of a request is in the log");
    for secret in [CLIENT_SECRET, STATE, "eyJ"] {
        assert!(!log.contains(secret), "{secret} in the log");
        assert!(!shown.contains(secret), "{secret} in {shown}");
        assert!(!desk.metrics.render().contains(secret), "{secret} among the metrics");
    }
}
