//! What never reaches the broker: handshakes, and items that are refused. Beside it, a server that reads the body and
//! answers.

use crate::Effort;
use crate::contestant::Contestant;
use crate::drive::Content;
use crate::reference::Kind;
use crate::sheet::Sheet;
use crate::turn::{COST, FAILURES, LOAD, P50, P99, RATE, SWITCHES, Turn};

/// Prints the table.
pub(crate) async fn measure(effort: Effort) {
    let contestants = [Contestant::graphhook().await, Contestant::reference(Kind::Http)];
    let mut sheet = Sheet::new("handshake", &[RATE, COST, SWITCHES, P50, P99, FAILURES, LOAD]);
    for (words, content) in CONTENTS {
        let turn = Turn { content, ..Turn::flat_out(1) };
        for _ in 0..effort.rounds {
            for contestant in &contestants {
                let row = format!("{}, {words}", contestant.name);
                turn.take(contestant, effort, &row, &mut sheet).await;
            }
        }
    }
    sheet.print();
    println!();
    for (words, _) in CONTENTS {
        let ratio = sheet.ratio(COST.name, &format!("graphhook, {words}"), &format!("http, {words}"));
        println!("CPU of graphhook as a multiple of http, {words}: {ratio:.2}");
    }
}

const CONTENTS: [(&str, Content); 2] =
    [("handshakes", Content::Handshake), ("refused items", Content::Forged)];
