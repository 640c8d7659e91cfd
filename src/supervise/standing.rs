//! How the daemon stands, in the one line that `systemctl status` shows.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::watch;

use crate::{
    admin::News,
    delivery::{Delivery, State as Broker, spool::State as Spool},
    listener::tls::Served,
    metrics::Metrics,
    webhook::Webhook,
};

/// Where the line comes from.
pub(super) struct View {
    pub(super) addresses: Vec<String>,
    pub(super) delivery: Arc<Delivery>,
    pub(super) metrics: Arc<Metrics>,
    /// None when a proxy terminates TLS.
    pub(super) served: Option<Arc<Served>>,
    pub(super) webhook: Arc<Webhook>,
    pub(super) news: watch::Receiver<News>,
}

/// The line. Numbers that change all the time are rounded, so that it changes only when there is something to tell.
#[derive(Clone, Debug)]
struct Standing {
    addresses: String,
    broker: Broker,
    spool: Spool,
    items: i64,
    oldest: Option<Duration>,
    certificate: Certificate,
    tokens: Tokens,
    is_reload_refused: bool,
}

/// The certificate that ends first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Certificate {
    /// Somebody else's business.
    Off,
    /// Still to come.
    None,
    /// It is no good any more.
    Expired,
    /// It has so long to go.
    Ends(Duration),
}

/// The keys that tokens of resource data are signed with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tokens {
    /// They are there, or nobody needs them.
    Fine,
    /// The last try to fetch them has failed: those of before are used.
    Stale,
    /// There is none: what bears resource data is answered 503.
    Unchecked,
}

impl View {
    /// The line as of now.
    pub(super) fn line(&self) -> String {
        let since = |seconds: i64| {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
            SystemTime::now().duration_since(at).unwrap_or_default()
        };
        let oldest = self.metrics.spool_oldest.get();
        let standing = Standing {
            addresses: self.addresses.join(", "),
            broker: self.delivery.state(),
            spool: self.delivery.spool_state(),
            items: self.metrics.spool_items.get(),
            oldest: (oldest > 0).then(|| since(oldest)),
            certificate: self.certificate(),
            tokens: self.tokens(),
            is_reload_refused: self.news.borrow().last_reload.as_ref().is_some_and(|last| !last.is_taken()),
        };
        standing.to_string()
    }

    fn tokens(&self) -> Tokens {
        match self.webhook.rich().map(|rich| rich.signing_keys) {
            Some(keys) if keys.failing && keys.known == 0 => Tokens::Unchecked,
            Some(keys) if keys.failing => Tokens::Stale,
            Some(_) | None => Tokens::Fine,
        }
    }

    fn certificate(&self) -> Certificate {
        let Some(served) = &self.served else { return Certificate::Off };
        let Some(end) = served.identities().iter().map(|identity| identity.facts.not_after).min() else {
            return Certificate::None;
        };
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(end).unwrap_or_default());
        end.duration_since(SystemTime::now()).map_or(Certificate::Expired, Certificate::Ends)
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "serving {}; broker {}; spool ", self.addresses, self.broker.as_str())?;
        match (self.spool, self.items) {
            (Spool::Ready, 0) => f.write_str("empty")?,
            (Spool::Ready, items) => write!(f, "holds {}", messages(items))?,
            (Spool::Full, items) => write!(f, "FULL with {}", messages(items))?,
            (Spool::Broken, _) => f.write_str("BROKEN")?,
        }
        if let Some(oldest) = self.oldest.filter(|_| self.items > 0 && self.spool != Spool::Broken) {
            write!(f, ", oldest {}", rounded(oldest))?;
        }
        match self.certificate {
            Certificate::Off => {}
            Certificate::None => f.write_str("; NO CERTIFICATE yet")?,
            Certificate::Expired => f.write_str("; certificate EXPIRED")?,
            Certificate::Ends(left) => write!(f, "; certificate ends in {}", rounded(left))?,
        }
        match self.tokens {
            Tokens::Fine => {}
            Tokens::Stale => f.write_str("; signing keys cannot be fetched, old ones are used")?,
            Tokens::Unchecked => f.write_str("; NO SIGNING KEYS, resource data is answered 503")?,
        }
        if self.is_reload_refused {
            f.write_str("; last reload REFUSED, see the log")?;
        }
        Ok(())
    }
}

fn messages(count: i64) -> String {
    // A backlog that comes and goes would have us talk all the time.
    match count {
        1 => "1 message".to_owned(),
        ..1000 => format!("{count} messages"),
        _ => {
            let step = 10_i64.pow(count.ilog10() - 1);
            format!("about {} messages", count / step * step)
        }
    }
}

/// In the largest unit of which there are two.
fn rounded(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match (minutes / (24 * 60), minutes / 60, minutes) {
        (days @ 2.., ..) => format!("{days} days"),
        (_, hours @ 2.., _) => format!("{hours} hours"),
        (.., minutes @ 2..) => format!("{minutes} minutes"),
        _ => "under 2 minutes".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut Standing), line: &str) {
        let mut standing = Standing {
            addresses: "[::]:8443".to_owned(),
            broker: Broker::Up,
            spool: Spool::Ready,
            items: 0,
            oldest: None,
            certificate: Certificate::Ends(Duration::from_secs(63 * 86_400 + 5)),
            tokens: Tokens::Fine,
            is_reload_refused: false,
        };
        change(&mut standing);
        assert_eq!(standing.to_string(), format!("serving [::]:8443; {line}"));
    }

    #[test]
    fn the_line_says_what_is_wrong_and_changes_seldom() {
        check(|_| {}, "broker up; spool empty; certificate ends in 63 days");
        check(
            |it| {
                (it.broker, it.items, it.oldest) = (Broker::Down, 1, Some(Duration::from_secs(40)));
                it.is_reload_refused = true;
            },
            "broker down; spool holds 1 message, oldest under 2 minutes; certificate ends in 63 days; \
             last reload REFUSED, see the log",
        );
        check(
            |it| {
                (it.broker, it.spool) = (Broker::Blocked, Spool::Full);
                (it.items, it.oldest) = (12_345, Some(Duration::from_secs(7300)));
                it.certificate = Certificate::Expired;
            },
            "broker blocked; spool FULL with about 12000 messages, oldest 2 hours; certificate EXPIRED",
        );
        check(
            |it| (it.spool, it.certificate) = (Spool::Broken, Certificate::None),
            "broker up; spool BROKEN; NO CERTIFICATE yet",
        );
        check(|it| it.certificate = Certificate::Off, "broker up; spool empty");
        check(
            |it| (it.certificate, it.tokens) = (Certificate::Off, Tokens::Stale),
            "broker up; spool empty; signing keys cannot be fetched, old ones are used",
        );
        check(
            |it| (it.tokens, it.is_reload_refused) = (Tokens::Unchecked, true),
            "broker up; spool empty; certificate ends in 63 days; NO SIGNING KEYS, resource data is answered 503; \
             last reload REFUSED, see the log",
        );
    }
}
