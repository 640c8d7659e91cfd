//! Which fault comes when: a function of the seed, and of nothing else.

use serde::Serialize;

/// A fault.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fault {
    /// The broker gets SIGKILL, and is started again when it is healed.
    BrokerKilled,
    /// The broker gets SIGSTOP.
    BrokerPaused,
    /// The broker blocks publishers.
    MemoryAlarm,
    /// The connection to the broker is reset.
    ConnectionCut,
    /// Nothing that the broker says arrives.
    AnswersStalled,
    /// No connection to the broker is to be had.
    ConnectionsRefused,
    /// The queue's binding is taken away.
    QueueUnbound,
    /// The queue is deleted.
    QueueDeleted,
    /// The exchange is deleted.
    ExchangeDeleted,
    /// The daemon gets SIGKILL, and is started again.
    DaemonKilled,
    /// The daemon gets SIGTERM, and is started again.
    DaemonStopped,
    /// One write to the spool fails.
    WriteFails,
    /// One fsync of the spool fails.
    SyncFails,
    /// Every write to the spool fails for want of room.
    DiskFull,
    /// Every fsync takes long.
    SyncsSlow,
    /// The spool's directory is deleted with all that is in it.
    SpoolDeleted,
}

/// What a fault is done to. Each has one fault at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    Broker,
    Daemon,
    Disk,
}

/// One fault and what is waited for before the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Step {
    pub(super) fault: Fault,
    /// It stands until another one of its side, or the end of the round.
    pub(super) lasts: bool,
    /// How many more items are to be accepted under it.
    pub(super) items: u64,
    /// How long an fsync takes, if that is the fault.
    pub(super) delay_ms: u64,
}

/// Draws one round of faults after the other.
pub(super) struct Plan {
    chance: Chance,
    deck: Vec<Fault>,
}

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        Self { chance: Chance(seed), deck: Vec::new() }
    }

    /// The faults until all is healed and judged.
    pub(super) fn round(&mut self) -> Vec<Step> {
        let mut steps = Vec::<Step>::new();
        for _ in 0..2 + self.chance.below(3) {
            let fault = self.deal();
            if fault.side() == Side::Disk && !broker_is_away(&steps) {
                // While the broker takes everything, the disk has nothing to fail at.
                steps.push(Step { lasts: true, ..self.step(Fault::ConnectionsRefused) });
            }
            let step = self.step(fault);
            steps.push(step);
        }
        steps
    }

    fn step(&mut self, fault: Fault) -> Step {
        let lasts = fault.can_last() && self.chance.below(2) == 0;
        let items = 50 + self.chance.below(350);
        let delay_ms = [100, 300, 1000, 4000][index(self.chance.below(4))];
        Step { fault, lasts, items, delay_ms }
    }

    /// From a shuffled deck, so that a short run sees every fault too.
    fn deal(&mut self) -> Fault {
        if self.deck.is_empty() {
            self.deck = Fault::ALL.to_vec();
            for last in (1..self.deck.len()).rev() {
                let other = index(self.chance.below(last as u64 + 1));
                self.deck.swap(last, other);
            }
        }
        self.deck.pop().expect("it was filled")
    }
}

/// Whether the last fault of the broker's side still stands.
fn broker_is_away(steps: &[Step]) -> bool {
    let last = steps.iter().rev().find(|step| step.fault.side() == Side::Broker);
    last.is_some_and(|step| step.lasts)
}

impl Fault {
    pub(super) const ALL: [Self; 16] = [
        Self::BrokerKilled,
        Self::BrokerPaused,
        Self::MemoryAlarm,
        Self::ConnectionCut,
        Self::AnswersStalled,
        Self::ConnectionsRefused,
        Self::QueueUnbound,
        Self::QueueDeleted,
        Self::ExchangeDeleted,
        Self::DaemonKilled,
        Self::DaemonStopped,
        Self::WriteFails,
        Self::SyncFails,
        Self::DiskFull,
        Self::SyncsSlow,
        Self::SpoolDeleted,
    ];

    pub(super) fn side(self) -> Side {
        match self {
            Self::BrokerKilled
            | Self::BrokerPaused
            | Self::MemoryAlarm
            | Self::ConnectionCut
            | Self::AnswersStalled
            | Self::ConnectionsRefused
            | Self::QueueUnbound
            | Self::QueueDeleted
            | Self::ExchangeDeleted => Side::Broker,
            Self::DaemonKilled | Self::DaemonStopped => Side::Daemon,
            Self::WriteFails | Self::SyncFails | Self::DiskFull | Self::SyncsSlow | Self::SpoolDeleted => {
                Side::Disk
            }
        }
    }

    /// Whether it stands until somebody heals it; else it is over when it has taken place.
    pub(super) fn can_last(self) -> bool {
        matches!(
            self,
            Self::BrokerKilled
                | Self::BrokerPaused
                | Self::MemoryAlarm
                | Self::AnswersStalled
                | Self::ConnectionsRefused
                | Self::DiskFull
                | Self::SyncsSlow
        )
    }
}

/// Splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a small one; that some come a little more often does no harm.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("a small number")
}

#[test]
fn the_numbers_are_those_of_splitmix64() {
    let mut chance = Chance(1_234_567);
    assert_eq!([chance.next(), chance.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
}

#[test]
fn a_seed_always_gives_the_same_faults_and_every_fault_soon() {
    let rounds = |seed| {
        let mut plan = Plan::of(seed);
        (0..16).flat_map(|_| plan.round()).collect::<Vec<Step>>()
    };
    assert_eq!(rounds(7), rounds(7));
    assert_ne!(rounds(7), rounds(8));
    for fault in Fault::ALL {
        assert!(rounds(7).iter().any(|step| step.fault == fault), "{fault:?}");
    }
}

#[test]
fn the_disk_fails_only_while_the_broker_is_away() {
    let mut plan = Plan::of(3);
    for _ in 0..200 {
        let steps = plan.round();
        for (at, step) in steps.iter().enumerate() {
            assert!(step.fault.side() != Side::Disk || broker_is_away(&steps[..at]), "{steps:?}");
        }
    }
}
