//! Spools with something in them, written by the daemon's own store.

use std::path::Path;
use std::time::SystemTime;

use graphhook::delivery::spool::record::Record;
use graphhook::delivery::spool::store::{Changes, Store};
use uuid::Uuid;

/// Puts so many messages into a spool in this directory.
pub(crate) fn fill(directory: &Path, many: u64) {
    let mut store = Store::open(directory).expect("a spool can be made");
    let mut left = many;
    while left > 0 {
        let records: Vec<Record> = (0..left.min(AT_ONCE)).map(|_| record()).collect();
        let append = records.iter().map(|record| (record, None)).collect();
        let changes = Changes { append, ..Changes::default() };
        store.commit(&changes, SystemTime::now()).expect("the disk has room");
        left -= records.len() as u64;
    }
    store.close().expect("the spool can be closed");
}

fn record() -> Record {
    let id = Uuid::now_v7().to_string();
    let body = format!("{{\"id\":\"{id}\",\"padding\":\"{}\"}}", "x".repeat(640));
    let record = Record {
        message_id: id,
        routing_key: "notification.message.created".to_owned(),
        properties: PROPERTIES.to_owned(),
        body: body.into(),
    };
    debug_assert!(record.envelope().is_ok(), "the daemon can read it");
    record
}

/// As the spool writes them.
const PROPERTIES: &str = r##"{"type":"notification","timestamp":1770000000,"headers":[["graph-subscription-id","00000001-0000-4000-8000-000000000001"],["graph-tenant-id","8afd02d6-ebdd-4270-a515-c749898ea5c5"],["graph-change-type","created"],["graph-resource","Users/aaaaaaa1-1111-4222-8333-444444444444/Messages/AAMkAGIAAA="],["graph-resource-type","#Microsoft.Graph.Message"],["graphhook-resource-data","none"],["graphhook-received-at","2026-02-02T02:40:00.000Z"],["graphhook-request-id","01890a5d-ac96-774b-bcce-b302099a8057"],["graphhook-client-state","test"]]}"##;
const AT_ONCE: u64 = 2_000;
