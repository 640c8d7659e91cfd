//! The screen: at most 80 columns, and about two dozen lines.

mod management;

use std::time::{Duration, SystemTime};

use super::answer::{
    Books, Broker, Certificate, Config, DecryptionKey, Domain, Graph, Moment, Reload, Rich, SigningKeys,
    Spool, Status, Subscription, Subscriptions,
};
use crate::{
    cli::{check::WARNED_BEFORE, words},
    metrics::throttling::{DROP_PERCENT, SLOW_PERCENT},
};

/// Lines under their labels.
#[derive(Debug)]
pub(super) struct Screen {
    now: SystemTime,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    label: &'static str,
    tone: Tone,
    text: String,
}

/// What a line means for whoever looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tone {
    Plain,
    Good,
    Odd,
    Bad,
}

/// Whether tones are seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Paint {
    Plain,
    Colours,
}

impl Screen {
    pub(super) fn of(status: &Status, now: SystemTime) -> Self {
        let mut screen = Self { now, lines: Vec::new() };
        screen.head(status);
        screen.listeners(status);
        screen.broker(&status.broker);
        screen.spool(&status.spool);
        screen.books(&status.notifications);
        if let Some(graph) = &status.graph {
            screen.graph(graph);
        }
        screen.certificates(&status.certificates, &status.acme);
        if let Some(subscriptions) = &status.subscriptions {
            screen.subscriptions(subscriptions);
        }
        if let Some(management) = &status.management {
            screen.management(management);
        }
        if let Some(rich) = &status.rich {
            screen.rich(rich);
        }
        screen.config(&status.config, status.last_reload.as_ref());
        screen
    }

    /// There is no daemon to tell of.
    pub(super) fn absent(message: &str, now: SystemTime) -> Self {
        let mut screen = Self { now, lines: Vec::new() };
        screen.line("graphhook", Tone::Bad, format!("not there at {}", words::time(now)));
        screen.line("", Tone::Plain, message);
        screen
    }

    /// A text of ours, which may have lines of its own, or one of somebody else's.
    fn line(&mut self, label: &'static str, tone: Tone, text: impl Into<String>) {
        for (index, text) in text.into().split('\n').enumerate() {
            let label = if index == 0 { label } else { "" };
            self.lines.push(Line { label, tone, text: words::plain(text) });
        }
    }

    fn head(&mut self, Status { version, started_at, ready, readiness, .. }: &Status) {
        let up =
            started_at.map(|moment| format!(", up {}, since {}", self.ago(moment), words::time(moment.0)));
        self.line("graphhook", Tone::Plain, format!("{version}{}", up.unwrap_or_default()));
        let words = readiness.as_deref().unwrap_or(if *ready { "ready" } else { "not ready" });
        match ready {
            true => self.line("", Tone::Good, words),
            false => self.line("", Tone::Bad, format!("NOT READY: {words}")),
        }
    }

    fn listeners(&mut self, Status { listeners, admin_listener, acme_listener, .. }: &Status) {
        let mut text = listeners.join(", ");
        let others = [("admin", admin_listener), ("challenges", acme_listener)];
        for (name, address) in others.iter().filter_map(|(name, address)| Some((name, address.as_ref()?))) {
            text += &format!("; {name} {address}");
        }
        self.line("listening", Tone::Plain, text);
    }

    fn broker(&mut self, Broker { state, since, url, last_error }: &Broker) {
        let tone = if state == "up" { Tone::Good } else { Tone::Bad };
        let since = since.map(|since| format!(" for {}", self.ago(since))).unwrap_or_default();
        let url = url.as_ref().map(|url| format!(", {url}")).unwrap_or_default();
        self.line("broker", tone, format!("{state}{since}{url}"));
        if let Some(error) = last_error {
            let text = format!("last error {} ago: {}", self.ago(error.at), error.message);
            self.line("", if state == "up" { Tone::Plain } else { Tone::Odd }, text);
        }
    }

    fn spool(&mut self, spool: &Spool) {
        let Spool { state, items, parked_items, set_aside_items, bytes, max_bytes, oldest_item_at } = spool;
        let (used, max) = (words::bytes(*bytes), words::bytes(*max_bytes));
        let oldest =
            oldest_item_at.map(|at| format!(", the oldest {} old", self.ago(at))).unwrap_or_default();
        let messages = if *items == 0 { "empty".to_owned() } else { words::messages(*items) };
        let tone = match (state.as_str(), items) {
            ("ready", 0) => Tone::Good,
            ("ready", _) => Tone::Odd,
            _ => Tone::Bad,
        };
        self.line("spool", tone, format!("{state}: {messages}{oldest}; {used} of {max}"));
        if parked_items + set_aside_items > 0 {
            let text = format!(
                "{parked_items} refused by the broker, {set_aside_items} set aside: graphhook spool list --trouble"
            );
            self.line("", Tone::Odd, text);
        }
    }

    fn books(&mut self, books: &Books) {
        let Books { received, published, spooled, refused, unavailable, in_flight, conservation_error } =
            books;
        let text = format!(
            "{received} = {published} published + {spooled} spooled + {refused} refused\n\
             + {unavailable} unavailable + {in_flight} in flight"
        );
        self.line("received", Tone::Plain, text);
        if *conservation_error != 0 {
            let text = format!(
                "{conservation_error} more outcomes than items: report this as a mistake of graphhook"
            );
            self.line("", Tone::Bad, text);
        }
    }

    fn graph(&mut self, Graph { slow_ratio, drop_ratio, predicted, answers }: &Graph) {
        let is_far_under = |ratio: f64, limit: u32| ratio * 100.0 < f64::from(limit) / 2.0;
        let tone = match predicted.as_str() {
            "good" if is_far_under(*slow_ratio, SLOW_PERCENT) && is_far_under(*drop_ratio, DROP_PERCENT) => {
                Tone::Good
            }
            "good" => Tone::Odd,
            _ => Tone::Bad,
        };
        let percent = |ratio: f64| format!("{:.1} %", ratio * 100.0);
        let (slow, drop) = (percent(*slow_ratio), percent(*drop_ratio));
        let text = format!(
            "{predicted}; of {answers} answers {slow} over 3 s (limit {SLOW_PERCENT} %),\n\
             {drop} over 10 s (limit {DROP_PERCENT} %)"
        );
        self.line("Graph's view", tone, text);
    }

    fn certificates(&mut self, certificates: &[Certificate], domains: &[Domain]) {
        let mut sorted: Vec<_> = certificates.iter().collect();
        sorted.sort_by_key(|certificate| (certificate.refused.is_none(), certificate.not_after));
        let mut label = "certificates";
        for certificate in sorted.iter().take(ROWS_MAX) {
            self.certificate(std::mem::take(&mut label), certificate);
        }
        if sorted.len() > ROWS_MAX {
            self.line("", Tone::Plain, format!("and {} that end later", sorted.len() - ROWS_MAX));
        }
        for Domain { domain, state, last_error } in domains.iter().filter(|domain| domain.state != "good") {
            let error = last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            self.line(std::mem::take(&mut label), Tone::Bad, format!("{domain} {state}{error}"));
        }
    }

    fn certificate(&mut self, label: &'static str, Certificate { hosts, not_after, refused }: &Certificate) {
        let host = hosts.first().map_or("-", String::as_str);
        let more = if hosts.len() > 1 { format!(" and {} more", hosts.len() - 1) } else { String::new() };
        let left = not_after.map(|end| end.0.duration_since(self.now).unwrap_or_default());
        let tone = match left {
            Some(left) if left >= WARNED_BEFORE => Tone::Good,
            Some(left) if left >= ALARMED_BEFORE => Tone::Odd,
            Some(_) | None => Tone::Bad,
        };
        let left = left.map(|left| left.as_secs() / DAY);
        let end = match (left, not_after) {
            (Some(0), Some(end)) if end.0 <= self.now => format!("ENDED {}", words::time(end.0)),
            (Some(days), Some(end)) => format!("{days} days left, until {}", words::time(end.0)),
            (_, _) => "of unknown end".to_owned(),
        };
        self.line(label, tone, format!("{host}{more}: {end}"));
        if let Some(why) = refused {
            self.line("", Tone::Bad, format!("a newer one is not served: {why}"));
        }
    }

    fn subscriptions(&mut self, subscriptions: &Subscriptions) {
        let Subscriptions { seen, silent, ending, ended, troubled, list } = subscriptions;
        let tone = if silent + ending + ended > 0 { Tone::Odd } else { Tone::Plain };
        let text = format!("{seen} seen, {silent} silent, {ending} ending, {ended} ended");
        self.line("subscriptions", tone, text);
        // The daemon has put them in order.
        let urgent: Vec<_> = list.iter().filter(|one| one.silent || one.ending || one.ended).collect();
        let shown = urgent.len().min(ROWS_MAX);
        for subscription in &urgent[..shown] {
            self.subscription(subscription);
        }
        // The list has a bound; the count has none.
        let more = (*troubled).max(urgent.len() as u64) - shown as u64;
        if more > 0 {
            self.line("", Tone::Plain, format!("and {more} more: graphhook status --json"));
        }
    }

    fn subscription(&mut self, subscription: &Subscription) {
        let Subscription { id, client_state, last_at, expires_at, silent, ending, ended } = subscription;
        let mut facts = Vec::new();
        if let Some(end) = expires_at {
            match end.0.duration_since(self.now) {
                Ok(left) if *ending => facts.push(format!("ends in {}", words::age(left))),
                Err(_) if *ended || *ending => facts.push(format!("ended {} ago", self.ago(*end))),
                Ok(_) | Err(_) => {}
            }
        }
        // Its end is still to come, or not known: Graph has said that it is over.
        if *ended && facts.is_empty() {
            facts.push("no longer there".to_owned());
        }
        if let Some(last) = last_at.filter(|_| *silent) {
            facts.push(format!("silent for {}", self.ago(last)));
        }
        let name = client_state.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        self.line("", Tone::Odd, format!("{id}{name}: {}", facts.join(", ")));
    }

    fn rich(&mut self, Rich { deliver, decryption_keys, signing_keys }: &Rich) {
        let SigningKeys { known, fetched_at, failing } = signing_keys;
        let fetched = fetched_at.map(|at| format!(", fetched {} ago", self.ago(at))).unwrap_or_default();
        let (tone, words) = match (failing, known) {
            (false, 0) => (Tone::Odd, "no signing keys yet".to_owned()),
            (false, _) => (Tone::Good, format!("{}{fetched}", words::number(*known, "signing key"))),
            (true, 0) => (Tone::Bad, "NO SIGNING KEYS: resource data is answered 503".to_owned()),
            (true, _) => (
                Tone::Odd,
                format!("{}{fetched}; others cannot be fetched", words::number(*known, "signing key")),
            ),
        };
        self.line("resource data", tone, format!("{deliver}; {words}"));
        let mut keys: Vec<_> = decryption_keys.iter().collect();
        // One without a known end comes last.
        keys.sort_by_key(|key| (key.not_after.is_none(), key.not_after));
        for key in keys.iter().take(ROWS_MAX) {
            self.decryption_key(key);
        }
        if keys.len() > ROWS_MAX {
            self.line(
                "",
                Tone::Plain,
                format!("and {} more: graphhook status --json", keys.len() - ROWS_MAX),
            );
        }
    }

    /// One that has ended opens what it did before: it is no alarm.
    fn decryption_key(&mut self, DecryptionKey { id, not_after, last_used_at }: &DecryptionKey) {
        let used = last_used_at.map_or_else(
            || "not used since the start".to_owned(),
            |at| format!("last used {} ago", self.ago(at)),
        );
        let left = not_after.map(|end| end.0.duration_since(self.now).unwrap_or_default());
        let (tone, end) = match left {
            None => (Tone::Plain, String::new()),
            Some(Duration::ZERO) => (Tone::Odd, ", certificate ended".to_owned()),
            Some(left) => {
                let tone = if left < WARNED_BEFORE { Tone::Odd } else { Tone::Plain };
                (tone, format!(", certificate ends in {} days", left.as_secs() / DAY))
            }
        };
        self.line("", tone, format!("key {id}: {used}{end}"));
    }

    fn config(&mut self, Config { hash, warnings }: &Config, last_reload: Option<&Reload>) {
        match last_reload {
            None => self.line("last reload", Tone::Plain, "none since the start"),
            Some(Reload { at, ok: true, .. }) => {
                self.line("last reload", Tone::Plain, format!("{} ago, in force", self.ago(*at)));
            }
            Some(Reload { at, ok: false, message }) => {
                self.line("last reload", Tone::Bad, format!("{} ago, REFUSED: {message}", self.ago(*at)));
            }
        }
        let many = match warnings.len() {
            0 => "no warnings".to_owned(),
            1 => "1 warning".to_owned(),
            many => format!("{many} warnings"),
        };
        self.line("configuration", Tone::Plain, format!("{hash}, {many}"));
        for warning in warnings.iter().take(ROWS_MAX) {
            self.line("", Tone::Odd, warning);
        }
    }

    fn ago(&self, moment: Moment) -> String {
        words::age(self.now.duration_since(moment.0).unwrap_or_default())
    }

    /// The lines as one text.
    pub(super) fn paint(&self, paint: Paint) -> String {
        let mut text = String::new();
        for Line { label, tone, text: words } in &self.lines {
            let (begin, end) = match (paint, tone) {
                (Paint::Plain, _) | (Paint::Colours, Tone::Plain) => ("", ""),
                (Paint::Colours, Tone::Good) => ("\x1b[32m", "\x1b[0m"),
                (Paint::Colours, Tone::Odd) => ("\x1b[33m", "\x1b[0m"),
                (Paint::Colours, Tone::Bad) => ("\x1b[1;31m", "\x1b[0m"),
            };
            for (index, row) in wrapped(words).iter().enumerate() {
                let label = if index == 0 { label } else { "" };
                text += &format!("{label:<LABEL$}{begin}{row}{end}\n");
            }
        }
        text
    }
}

/// As rows that fit beside the labels, cut between words where there are any; what is too long ends with "…".
fn wrapped(text: &str) -> Vec<String> {
    let mut rows = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let row = rows.last_mut().expect("there is always a row");
            let gap = usize::from(!row.is_empty());
            if row.chars().count() + gap + word.len() <= TEXT {
                row.extend(std::iter::repeat_n(' ', gap).chain(word));
                break;
            }
            if row.is_empty() {
                row.extend(word.drain(..TEXT));
            }
            rows.push(String::new());
        }
    }
    if rows.len() > WRAPPED_MAX {
        rows.truncate(WRAPPED_MAX);
        let last = rows.last_mut().expect("some are left");
        *last = last.chars().take(TEXT - 1).chain(['…']).collect();
    }
    rows
}

const LABEL: usize = 15;
const TEXT: usize = 80 - LABEL;
/// Of one text; `--json` has all of it.
const WRAPPED_MAX: usize = 3;
/// Of certificates, subscriptions and warnings each.
const ROWS_MAX: usize = 3;
const DAY: u64 = 24 * 60 * 60;
/// Of a certificate's end: by then every renewal has failed for two weeks.
const ALARMED_BEFORE: Duration = Duration::from_secs(7 * DAY);

#[cfg(test)]
mod tests;
