//! What became of captured messages, in numbers.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::cli::words;

/// What became of a message that was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sent {
    Done,
    /// It carries sealed resource data, and the tokens that vouched for it are gone: its receiver may want them.
    Sealed,
    /// No queue is bound for it.
    Returned,
    /// The broker could not take it.
    Nacked,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Skip {
    /// Through the check: Graph sends none. To an exchange: not asked for.
    Gap,
    /// To an exchange: not asked for.
    Refused,
    /// Its body was left out when it was captured.
    Bodyless,
    /// Its body is no JSON object.
    NoItem,
    /// Its clientState is masked, and nobody has told it.
    Masked,
    /// It was refused, perhaps for the clientState that is masked now.
    MaskedRefused,
    /// Its resource data was opened.
    Opened,
    /// No message of ours.
    Foreign,
}

impl Skip {
    const ALL: [Self; 8] = [
        Self::Gap,
        Self::Refused,
        Self::Bodyless,
        Self::NoItem,
        Self::Masked,
        Self::MaskedRefused,
        Self::Opened,
        Self::Foreign,
    ];

    /// The word in JSON.
    fn as_str(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Refused => "refused",
            Self::Bodyless => "bodyless",
            Self::NoItem => "no_item",
            Self::Masked => "masked",
            Self::MaskedRefused => "masked_refused",
            Self::Opened => "opened",
            Self::Foreign => "foreign",
        }
    }

    fn why(self) -> &'static str {
        match self {
            Self::Gap => "a gap is no message of Graph's; to an exchange: --include-gaps",
            Self::Refused => "refused; --include-refused puts it back into the quarantine",
            Self::Bodyless => "its body was left out when it was captured",
            Self::NoItem => "its body is no JSON object",
            Self::Masked => "its clientState is masked or was taken out; --client-state tells it",
            Self::MaskedRefused => "refused, with a clientState that is masked: nobody knows what it was",
            Self::Opened => "its resource data was opened, and cannot be sealed again",
            Self::Foreign => "no message of graphhook's: message_id, type or timestamp is none of ours",
        }
    }

    /// Whether somebody who wanted everything sent has to hear of it.
    fn is_loss(self) -> bool {
        match self {
            Self::Gap | Self::Refused => false,
            Self::Bodyless
            | Self::NoItem
            | Self::Masked
            | Self::MaskedRefused
            | Self::Opened
            | Self::Foreign => true,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    done: u64,
    sealed: u64,
    returned: u64,
    nacked: u64,
    /// In the order of [`Skip::ALL`].
    skipped: [u64; Skip::ALL.len()],
    /// The last line that was sent.
    last: Option<u64>,
    /// The line that is being sent.
    trying: Option<u64>,
    /// Those that were asked for and not sent.
    lost: Vec<u64>,
}

impl Tally {
    pub(super) fn begin(&mut self, line: u64) {
        self.trying = Some(line);
    }

    /// The line that was begun and not ended.
    pub(super) fn on_the_way(&self) -> Option<u64> {
        self.trying
    }

    pub(super) fn sent(&mut self, line: u64, sent: Sent) -> io::Result<()> {
        self.trying = None;
        match sent {
            Sent::Done => self.done += 1,
            Sent::Sealed => {
                self.done += 1;
                self.sealed += 1;
            }
            Sent::Returned => {
                self.returned += 1;
                return self.tell(line, RETURNED);
            }
            Sent::Nacked => {
                self.nacked += 1;
                return self.tell(line, NACKED);
            }
        }
        self.last = Some(line);
        Ok(())
    }

    pub(super) fn skip(&mut self, line: u64, skip: Skip) -> io::Result<()> {
        for (known, count) in Skip::ALL.into_iter().zip(&mut self.skipped) {
            *count += u64::from(known == skip);
        }
        if skip.is_loss() { self.tell(line, skip.why()) } else { Ok(()) }
    }

    /// The first few by their lines; how many there are is told at the end, and every line with `--json`.
    fn tell(&mut self, line: u64, why: &str) -> io::Result<()> {
        self.lost.push(line);
        if self.lost.len() <= TOLD_MAX { writeln!(io::stderr(), "line {line}: {why}") } else { Ok(()) }
    }

    pub(super) fn is_well(&self) -> bool {
        let is_lost = Skip::ALL.into_iter().zip(self.skipped).any(|(skip, many)| skip.is_loss() && many > 0);
        !is_lost && self.returned == 0 && self.nacked == 0
    }

    pub(super) fn print(&self, dry_run: bool, as_json: bool, out: &mut impl Write) -> io::Result<()> {
        if as_json {
            return writeln!(out, "{}", self.json(dry_run));
        }
        let done = if dry_run { "would send" } else { "sent" };
        let last = self.last.map_or(String::new(), |line| format!(", the last from line {line}"));
        writeln!(out, "{done} {}{last}", words::messages(self.done))?;
        if self.sealed > 0 {
            let many = self.sealed;
            writeln!(
                out,
                "{many:>9} with sealed resource data, without tokens: a receiver that checks them refuses it"
            )?;
        }
        let skipped = Skip::ALL.into_iter().map(Skip::why).zip(self.skipped);
        for (why, many) in skipped.chain([(RETURNED, self.returned), (NACKED, self.nacked)]) {
            if many > 0 {
                writeln!(out, "{many:>9} not sent: {why}")?;
            }
        }
        Ok(())
    }

    fn json(&self, dry_run: bool) -> Value {
        let skipped: Map<String, Value> = Skip::ALL
            .into_iter()
            .zip(self.skipped)
            .map(|(skip, many)| (skip.as_str().to_owned(), many.into()))
            .collect();
        json!({
            "dry_run": dry_run,
            "sent": self.done,
            "sealed": self.sealed,
            "returned": self.returned,
            "nacked": self.nacked,
            "skipped": skipped,
            "lost_lines": self.lost,
            "last_line": self.last,
            "open_line": self.trying,
        })
    }
}

const RETURNED: &str = "returned: no queue is bound for it";
const NACKED: &str = "nacked by the broker";
/// More of them nobody reads.
const TOLD_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(tally: &Tally, as_json: bool) -> String {
        let mut out = Vec::new();
        tally.print(false, as_json, &mut out).expect("memory takes all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn every_message_is_counted_once() {
        let mut tally = Tally::default();
        tally.skip(1, Skip::Gap).expect("told");
        assert!(tally.is_well());
        tally.begin(2);
        tally.sent(2, Sent::Done).expect("told");
        tally.sent(3, Sent::Sealed).expect("told");
        tally.sent(4, Sent::Returned).expect("told");
        assert!(!tally.is_well());
        tally.begin(5);
        let text = printed(&tally, false);
        assert!(text.starts_with("sent 2 messages, the last from line 3\n        1 with sealed"), "{text}");
        assert!(
            text.contains("1 not sent: a gap")
                && text.ends_with("1 not sent: returned: no queue is bound for it\n")
        );
        let told: Value = serde_json::from_str(&printed(&tally, true)).expect("JSON");
        assert_eq!(
            (&told["sent"], &told["skipped"]["gap"], &told["open_line"]),
            (&json!(2), &json!(1), &json!(5))
        );
    }

    #[test]
    fn what_could_not_be_sent_is_no_success() {
        for skip in Skip::ALL {
            let mut tally = Tally::default();
            tally.skip(1, skip).expect("told");
            assert_eq!(tally.is_well(), matches!(skip, Skip::Gap | Skip::Refused), "{skip:?}");
        }
    }
}
