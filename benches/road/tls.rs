//! Connections that are new for every POST, each with a full handshake, against rustls with nothing around it.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use graphhook::simulate::receiver::{PATIENT, Receiver};
use rustls::client::Resumption;

use crate::Effort;
use crate::contestant::Contestant;
use crate::drive::{self, Content};
use crate::process::Usage;
use crate::reference::Kind;
use crate::sheet::{Column, Sheet};

/// Prints the table.
pub(crate) async fn measure(effort: Effort) {
    let contestants = [Contestant::graphhook().await, Contestant::reference(Kind::Http)];
    let mut sheet = Sheet::new("tls", &[RATE, COST]);
    for (words, is_resumed) in [("full", false), ("resumed", true)] {
        for _ in 0..effort.rounds {
            for contestant in &contestants {
                let receiver = receiver(contestant, is_resumed);
                connect(&receiver, effort.warm).await;
                let (begun, before) = (Instant::now(), Usage::of(contestant.pid));
                let many = connect(&receiver, effort.window).await;
                let usage = Usage::of(contestant.pid).since(before);
                let values = [
                    (RATE.name, many / begun.elapsed().as_secs_f64()),
                    (COST.name, usage.processor * 1e6 / many),
                ];
                sheet.note(&format!("{}, {words}", contestant.name), &values);
            }
        }
    }
    sheet.print();
    println!();
    for words in ["full", "resumed"] {
        let ratio = sheet.ratio(COST.name, &format!("graphhook, {words}"), &format!("http, {words}"));
        println!("CPU of graphhook as a multiple of bare rustls, {words}: {ratio:.2}");
    }
}

/// So many connections were made, each for one POST that is a handshake of Graph's.
async fn connect(receiver: &Receiver, time: std::time::Duration) -> f64 {
    let post = receiver.notification(bytes::Bytes::new());
    let begun = Instant::now();
    let clients = (0..CLIENTS).map(async |_| {
        let mut many = 0_u32;
        while begun.elapsed() < time {
            let answer = receiver.post(&post, PATIENT).await.expect("an answer");
            assert!(answer.status.is_success(), "{}", answer.status);
            many += 1;
        }
        many
    });
    f64::from(join_all(clients).await.into_iter().sum::<u32>())
}

fn receiver(contestant: &Contestant, is_resumed: bool) -> Receiver {
    let receiver = drive::receiver(contestant, Content::Handshake);
    let mut tls = (*drive::tls(contestant)).clone();
    if !is_resumed {
        tls.resumption = Resumption::disabled();
    }
    receiver.with_tls(Arc::new(tls))
}

const CLIENTS: usize = 16;
const RATE: Column = Column { name: "connections/s", digits: 0 };
const COST: Column = Column { name: "CPU us/connection", digits: 1 };
