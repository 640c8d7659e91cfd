//! The load, by the simulator's own engine, and what it was answered.

use std::collections::BTreeMap;
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use graphhook::secret::Secret;
use graphhook::simulate::receiver::{PATIENT, Receiver};
use graphhook::simulate::run::{
    Ended, Extent, Ledger, Pace, Percentiles, Progress, Run, Scenario, Stock, Weighted, play,
};
use graphhook::simulate::template::Template;
use graphhook::simulate::trust::Trust;
use rustls::ClientConfig;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::contestant::Contestant;
use crate::process::Usage;
use crate::support::daemon::SECRET;
use crate::support::graph::PATH;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    /// Items in each POST.
    pub(crate) items: u32,
    pub(crate) pace: Pace,
    pub(crate) content: Content,
    /// While connections are made, and nothing is measured.
    pub(crate) warm: Duration,
    /// While it is.
    pub(crate) time: Duration,
}

/// What is in a POST.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    /// Items that are believed.
    Genuine,
    /// Items with a wrong secret.
    Forged,
    /// Almost nothing: it is the question whether notifications are wanted.
    Handshake,
}

/// What came of it, once it was warm.
pub(crate) struct Driven {
    /// What was sent, from the begin.
    pub(crate) stock: Arc<Stock>,
    /// What became of each item.
    pub(crate) ledger: Arc<Ledger>,
    /// What the engine has counted.
    pub(crate) ended: Ended,
    /// POSTs that were answered.
    pub(crate) posts: f64,
    /// In so many seconds.
    pub(crate) seconds: f64,
    /// What the contestant had meanwhile.
    pub(crate) usage: Usage,
    /// What we had.
    pub(crate) own: Usage,
}

/// How it stood at one moment.
struct Mark {
    at: Duration,
    posts: u64,
    theirs: Usage,
    ours: Usage,
}

impl Mark {
    fn new(at: Duration, status: &BTreeMap<u16, u64>, contestant: &Contestant) -> Self {
        let posts = status.values().sum();
        Self { at, posts, theirs: contestant.usage(), ours: Usage::of(process::id()) }
    }
}

impl Load {
    /// Sends it, and waits for the last answer.
    pub(crate) async fn drive(self, contestant: &Contestant) -> Driven {
        let stock = Arc::new(self.stock());
        let ledger = Arc::new(Ledger::default());
        let (progress, told) = watch::channel(Progress::default());
        let run = Run {
            receiver: receiver(contestant, self.content),
            stock: Arc::clone(&stock),
            ledger: Some(Arc::clone(&ledger)),
            warm: self.warm,
            stop: CancellationToken::new(),
            progress,
        };
        let cold = Mark::new(Duration::ZERO, &BTreeMap::new(), contestant);
        let (ended, warm) = tokio::join!(alone(run), marked(told, self.warm, contestant));
        let (begin, end) =
            (warm.unwrap_or(cold), Mark::new(ended.elapsed, &ended.tally.requests.status, contestant));
        let (posts, seconds) = ((end.posts - begin.posts) as f64, (end.at - begin.at).as_secs_f64());
        let (usage, own) = (end.theirs.since(begin.theirs), end.ours.since(begin.ours));
        Driven { stock, ledger, ended, posts, seconds, usage, own }
    }

    fn stock(self) -> Stock {
        Stock::new(self.scenario(), Some(Secret::new(SECRET.to_owned())))
    }

    fn scenario(self) -> Scenario {
        let mut scenario = Scenario::new(self.pace, Extent::Time(self.warm + self.time));
        scenario.connections = self.connections;
        scenario.per_post = Weighted::one((self.items, self.items));
        if self.content == Content::Handshake {
            scenario.templates = Weighted::one(Template::read("{\"id\":\"{{id}}\"}").expect("a template"));
        } else {
            scenario.size = Some(ITEM_BYTES);
            scenario.templates = Weighted::one(template());
        }
        scenario.faults.forged = if self.content == Content::Forged { 1.0 } else { 0.0 };
        scenario.graph.rules.punishes = false;
        scenario.drain = DRAIN;
        // Who is late is measured, and not given up.
        (scenario.graph.first_allowance, scenario.graph.repeat_allowance) = (PATIENT, PATIENT);
        scenario
    }
}

/// Genuine items by themselves.
pub(crate) fn stock() -> Stock {
    let (pace, content) = (Pace::FlatOut, Content::Genuine);
    let (warm, time) = (Duration::ZERO, Duration::ZERO);
    Load { connections: 1, items: 1, pace, content, warm, time }.stock()
}

/// How it stands when the load is warm.
async fn marked(
    mut told: watch::Receiver<Progress>,
    warm: Duration,
    contestant: &Contestant,
) -> Option<Mark> {
    loop {
        // An error is the end of the load.
        told.changed().await.ok()?;
        let progress = told.borrow_and_update().clone();
        if progress.elapsed >= warm {
            return Some(Mark::new(progress.elapsed, &progress.status, contestant));
        }
    }
}

/// The way to a contestant.
pub(crate) fn receiver(contestant: &Contestant, content: Content) -> Receiver {
    let query = match content {
        Content::Genuine | Content::Forged => "",
        Content::Handshake => HANDSHAKE,
    };
    let url = format!("https://{}{PATH}{query}", contestant.address).parse().expect("a URL");
    Receiver::new(url, tls(contestant), None)
}

/// Whom we believe to be it.
pub(crate) fn tls(contestant: &Contestant) -> Arc<ClientConfig> {
    Trust::File(contestant.ca.clone()).config().expect("an authority")
}

/// Plays it on one thread of its own: wakes across threads cost more than a POST does.
async fn alone(run: Run) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    let (end, ended) = oneshot::channel();
    let playing = move || drop(end.send(runtime.block_on(play(run))));
    let thread = thread::Builder::new().name("load".to_owned()).spawn(playing).expect("a thread can be made");
    let ended = ended.await.expect("the engine does not panic");
    thread.join().expect("it is over");
    ended
}

/// A change of a message; without the times, so that the bytes of an item follow from its number.
fn template() -> Template {
    let text = Template::text("message").expect("it is built in");
    Template::read(&text.replace("{{expires}}", "2026-08-21T12:00:00.0000000Z")).expect("a template")
}

impl Driven {
    /// POSTs that were not answered 2xx.
    pub(crate) fn failures(&self) -> f64 {
        let answered = self.ended.tally.requests.status.iter();
        let accepted: u64 =
            answered.filter(|(status, _)| (200..300).contains(*status)).map(|(_, many)| many).sum();
        (self.ended.tally.requests.all - accepted) as f64
    }

    /// How long answers took, from when they were due.
    pub(crate) fn latency(&self) -> Percentiles {
        self.ended.tally.first.percentiles().expect("something was answered")
    }
}

/// As Graph asks today.
const HANDSHAKE: &str = "?validationToken=Validation%3a+Testing+client+application+reachability+for+subscription+Request-Id%3a+7b1a9d4e-6f0c-4b57-9b1e-2d3f4a5b6c7d";
/// As Graph's are, more or less.
const ITEM_BYTES: usize = 700;
/// How long is waited for what was not answered 2xx and is sent again.
const DRAIN: Duration = Duration::from_secs(2);
