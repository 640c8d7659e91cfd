//! The log: what is in it, what it is explained by, and that nobody waits for it.

mod catalogue;
mod full;

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::daemon::Daemon;
use crate::support::ports;

/// Journald's end of its socket.
struct Journal {
    directory: TempDir,
    socket: UnixDatagram,
}

impl Journal {
    fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = UnixDatagram::bind(directory.path().join(NAME)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket of ours");
        Self { directory, socket }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(NAME)
    }

    /// The next entry: fields of one line each.
    fn next(&self) -> BTreeMap<String, String> {
        let mut entry = vec![0; 256 << 10];
        loop {
            let length = self.socket.recv(&mut entry).expect("an entry in time");
            // Whether there is a journald is asked by nothing.
            if length > 0 {
                let text = String::from_utf8_lossy(&entry[..length]).into_owned();
                let fields = text.lines().filter_map(|line| line.split_once('='));
                return fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            }
        }
    }

    /// The next entry whose message begins so.
    fn next_of(&self, message: &str) -> BTreeMap<String, String> {
        let [entry] = self.next_of_each([message]);
        entry
    }

    /// The next entries whose messages begin so, in whatever order they come.
    fn next_of_each<const N: usize>(&self, messages: [&str; N]) -> [BTreeMap<String, String>; N] {
        let mut found = [(); N].map(|()| None);
        while found.iter().any(Option::is_none) {
            let entry = self.next();
            let said = entry.get("MESSAGE").map_or("", String::as_str);
            if let Some(index) = messages.iter().position(|message| said.starts_with(message)) {
                found[index].get_or_insert(entry);
            }
        }
        found.map(|entry| entry.expect("all are there"))
    }
}

/// Entries carry what `journalctl -x` finds their explanation by, the first words of a daemon tell what it is, and its
/// last ones come out.
#[tokio::test]
async fn journald_gets_entries_that_explain_themselves() {
    let journal = Journal::open();
    let [public, admin] = ports::free();
    let daemon = Daemon::configure()
        .without_broker()
        .set("server", "listen", &format!(r#"["127.0.0.1:{public}"]"#))
        .set("admin", "listen", &format!(r#""127.0.0.1:{admin}""#))
        .set("log", "format", r#""journald""#)
        .env("JOURNAL_SOCKET", journal.path())
        .spawn();
    let [listening, serving, away] =
        journal.next_of_each(["listening", "graphhook is serving", "broker not connected"]);
    assert_eq!(listening["PRIORITY"], "5");
    assert_eq!(listening["GRAPHHOOK_ADDRESS"], format!("127.0.0.1:{public}"));
    assert_eq!(serving["GRAPHHOOK_BROKERS"], "amqp://127.0.0.1:1/%2f");
    assert_eq!(serving["GRAPHHOOK_LISTENERS"], format!("127.0.0.1:{public}"));
    assert_eq!(serving["GRAPHHOOK_SPOOL_ITEMS"], "0");
    assert_eq!(away["PRIORITY"], "4");
    assert_eq!(away["SYSLOG_IDENTIFIER"], "graphhook");
    assert_eq!(away["GRAPHHOOK_EVENT"], "broker_not_connected");
    let id = graphhook::telemetry::message_id("broker_not_connected").simple().to_string();
    assert_eq!(away["MESSAGE_ID"], id);
    assert!(away["MESSAGE"].contains("broker=amqp://127.0.0.1:1/%2f error="), "{away:?}");
    daemon.signal("TERM");
    journal.next_of("graphhook has stopped received=0");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
}

const NAME: &str = "socket";
