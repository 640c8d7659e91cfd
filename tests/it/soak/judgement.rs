//! The promises, I1 to I13, judged while nothing is wrong and nothing is sent.

use std::fs;
use std::time::{Duration, Instant};

use super::report::Figures;
use super::{NO_PANIC, SECRETS, Soak};
use crate::faults::{SPOOL_ITEMS, check_books};
use crate::support::eventually::{eventually_within, seen_within};
use crate::support::oracle::Taken;
use crate::support::queue::Amqp;

const PUBLISHED: &str = r#"graphhook_notifications_outcome_total{outcome="published"}"#;

impl Soak {
    /// Heals everything; then a fresh item must find its way to the broker soon.
    pub(super) async fn recover(&mut self) {
        self.heal_disk();
        self.take_back().await;
        let begun = Instant::now();
        let before = self.look().await.get(PUBLISHED);
        self.becomes(PUBLISHED, |published| published > before).await;
        let took = milliseconds(begun.elapsed());
        self.report.worst_recovery_ms = self.report.worst_recovery_ms.max(took);
    }

    pub(super) async fn judge(&mut self) {
        let begun = Instant::now();
        let before = (self.report.issued, self.report.resent);
        self.rest().await;
        self.take_all().await;
        self.report.rounds += 1;
        self.count();
        let issued = self.report.issued - before.0;
        let allowed: u64 = self.doubles.drain(..).map(|bound| bound.min(issued)).sum();
        self.report.doubles_allowed += allowed + self.report.resent - before.1;
        self.judge_messages();
        self.judge_rest();
        self.report.write();
        self.tell(format!(
            "judged in {:.1} s: {} issued, {} accepted, {} delivered, {} doubles, worst answer {} ms",
            begun.elapsed().as_secs_f64(),
            self.report.issued,
            self.report.accepted,
            self.report.delivered,
            self.report.doubles,
            self.report.worst_answer_ms
        ));
        let wrong = self.report.failed();
        assert!(wrong.is_empty(), "a promise was broken");
    }

    /// Ends the load, and waits until the daemon has nothing more to do.
    async fn rest(&mut self) {
        self.load.take().expect("a load ends once").stop().await;
        let empty = async || (self.look().await.get(SPOOL_ITEMS) == 0.0).then_some(());
        eventually_within(DRAINED_WITHIN, "an empty spool", empty).await;
        self.becomes("graphhook_connections", |open| open == 0.0).await;
        self.nothing_damaged().await;
        check_books(&self.daemon).await;
        let metrics = self.look().await;
        let number = |name: &str| metrics.get(name) as u64;
        self.report.at_rest.push(Figures {
            memory_bytes: number("process_resident_memory_bytes"),
            files: number("process_open_fds"),
            threads: number("process_threads"),
        });
        for place in ["/metrics", "/status", "/readyz"] {
            self.look_for_secrets(place, &self.daemon.get_admin(place).await.1);
        }
        self.look_for_secrets("the log", &self.daemon.log());
        self.tidy();
    }

    /// Drops what is only in the way of a long run: files from which everything was saved, and the trace.
    fn tidy(&self) {
        for entry in fs::read_dir(self.daemon.spool()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains(".salvaged-") {
                fs::remove_file(entry.path()).expect("a file can be removed");
            }
        }
        self.disk.forget();
    }

    /// Takes everything that consumers can get, until nothing is missing or a minute has passed.
    async fn take_all(&mut self) {
        let amqp = Amqp::connect(&self.node.url()).await;
        let complete = seen_within(Duration::from_secs(60), async || {
            self.take_from(&amqp).await;
            let missing = self.ledger.missing(&self.oracle).len() as u64;
            (missing <= self.ledger.destroyed).then_some(())
        });
        // If something is missing, the judgement says so.
        complete.await;
        self.take_from(&amqp).await;
    }

    /// A fault can double what was in flight under it, beyond what the sender itself repeats; and if removals from the
    /// spool fail meanwhile, those that wait.
    pub(super) fn allow_doubles(&mut self) {
        let seen = self.seen.lock().expect(NO_PANIC).in_flight + UNSEEN;
        let unwritten = if self.on_disk.is_some() { UNWRITTEN } else { 0 };
        self.doubles.push(seen + unwritten);
    }

    /// Takes what is there now.
    pub(super) async fn take_from(&mut self, amqp: &Amqp) {
        let (normal, quarantine) = (amqp.queue(self.daemon.queue()), amqp.queue(&self.daemon.quarantine()));
        loop {
            // A broker that was maltreated may still be on its way up.
            let taken = Taken {
                normal: normal.try_drain().await.unwrap_or_default(),
                quarantine: quarantine.try_drain().await.unwrap_or_default(),
            };
            if taken.normal.is_empty() && taken.quarantine.is_empty() {
                return;
            }
            self.ledger.take(&self.oracle, &taken, &SECRETS);
        }
    }

    /// Brings the numbers up to date.
    pub(super) fn count(&mut self) {
        let numbers = self.oracle.report();
        let report = &mut self.report;
        report.seconds = self.begun.elapsed().as_secs();
        report.issued = numbers.issued;
        report.forged = numbers.forged;
        report.accepted = numbers.accepted;
        report.requests = numbers.requests;
        report.resent = numbers.resent;
        report.unavailable = numbers.unavailable;
        report.unanswered = numbers.unanswered;
        report.worst_answer_ms = numbers.worst_ms;
        report.p999_accepted_ms = numbers.p999_accepted_ms;
        report.delivered = self.ledger.delivered;
        report.quarantined = self.ledger.quarantined;
        report.doubles = self.ledger.doubles;
        report.destroyed = self.ledger.destroyed;
        report.test_late_ms = self.late.worst_ms();
        report.worst = self.seen.lock().expect(NO_PANIC).worst;
    }

    /// What can be judged at any time.
    pub(super) fn judge_rest(&mut self) {
        self.judge_times();
        self.judge_figures();
        self.judge_words();
    }

    /// Only between the rounds is everything where it can be counted.
    fn judge_messages(&mut self) {
        let ledger = &self.ledger;
        let missing = ledger.missing(&self.oracle);
        let owed = self.oracle.obligations().len();
        let some: Vec<String> = missing.iter().take(SHOWN).map(|item| self.oracle.id(*item)).collect();
        let (lost, destroyed) = (missing.len() as u64, ledger.destroyed);
        let what = format!("{lost} of {owed} missing, {destroyed} destroyed by the test {some:?}");
        self.report.judge("I01 nothing lost", lost <= destroyed, what);
        for (name, wrong) in [
            ("I02 nothing invented", vec![&ledger.invented]),
            ("I03 bytes equal", vec![&ledger.altered]),
            ("I04 forged and genuine apart", vec![&ledger.believed, &ledger.doubted]),
            ("I05 ids stable", vec![&ledger.renamed]),
        ] {
            let wrong: Vec<&String> = wrong.into_iter().flatten().collect();
            let what = format!("{} {:?}", wrong.len(), &wrong[..wrong.len().min(SHOWN)]);
            self.report.judge(name, wrong.is_empty(), what);
        }
        let (doubles, allowed) = (self.report.doubles, self.report.doubles_allowed);
        self.report.judge("I06 doubles bounded", doubles <= allowed, format!("{doubles}; {allowed} allowed"));
    }

    fn judge_times(&mut self) {
        let odd = self.oracle.report().odd;
        let (worst, p999, late) =
            (self.report.worst_answer_ms, self.report.p999_accepted_ms, self.report.test_late_ms);
        let holds = worst <= 3000 + late && p999 < 2500 + late && odd.is_empty();
        let what = format!(
            "worst {worst} ms, 99.9 % of the 202s within {p999} ms; the test's clock was late by {late} ms; odd: {odd:?}"
        );
        self.report.judge("I07 answers in time", holds, what);
        let recovery = self.report.worst_recovery_ms;
        self.report.judge("I09 alive after healing", recovery <= 30_000, format!("within {recovery} ms"));
        let restart = self.report.worst_restart_ms;
        self.report.judge(
            "I12 ready after a restart",
            restart <= READY_WITHIN_MS,
            format!("within {restart} ms"),
        );
    }

    fn judge_figures(&mut self) {
        let (worst, rest) = (self.report.worst, &self.report.at_rest);
        let mut first = Figures::default();
        rest.iter().take(2).for_each(|figures| first.raise_to(*figures));
        let least =
            |number: fn(&Figures) -> u64| rest.iter().rev().take(3).map(number).min().unwrap_or_default();
        let grows = rest.len() > 4
            && (least(|figures| figures.memory_bytes) > first.memory_bytes * 5 / 4 + (32 << 20)
                || least(|figures| figures.files) > first.files + 16
                || least(|figures| figures.threads) > first.threads + 8);
        let bounded =
            worst.memory_bytes <= MEMORY_MAX && worst.files <= FILES_MAX && worst.threads <= THREADS_MAX;
        let what = format!("worst {worst:?}, at rest {first:?} first and {:?} last", rest.last());
        self.report.judge("I08 memory, files, threads", bounded && !grows, what);
    }

    fn judge_words(&mut self) {
        let seen = self.seen.lock().expect(NO_PANIC);
        let error = seen.conservation_error;
        let told: Vec<&str> = seen.told.iter().copied().take(SHOWN).collect();
        self.report.judge("I10 the books are even", error == 0.0, format!("conservation_error {error}"));
        let holds = told.is_empty() && self.ledger.told.is_empty();
        let what = format!("in {told:?}, and in {} messages' headers", self.ledger.told.len());
        self.report.judge("I11 no secret told", holds, what);
        let restarts = self.report.restarts;
        let what = format!("{restarts} ends, wrong: {:?}", seen.exits);
        self.report.judge("I13 exit codes", seen.exits.is_empty(), what);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("a time fits")
}

/// In flight between two looks: what all clients have open, and the window of the replay.
const UNSEEN: u64 = 8 * 30 + 512;
/// Removals that the keeper lets wait.
const UNWRITTEN: u64 = 4096;
/// A message with trouble is tried again after a minute at most.
const DRAINED_WITHIN: Duration = Duration::from_secs(150);
/// Three times what is promised: the machine may be busy, and the build is not optimised.
const READY_WITHIN_MS: u64 = 15_000;
/// At this load it takes a tenth of the 256 MiB that bodies may.
const MEMORY_MAX: u64 = 256 << 20;
const FILES_MAX: u64 = 128;
const THREADS_MAX: u64 = 64;
const SHOWN: usize = 5;
