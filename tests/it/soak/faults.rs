//! How each fault is made, how it is known to have taken place, and how it is healed.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use super::plan::{Fault, Step};
use super::{NO_PANIC, PATIENCE, Soak, settle};
use crate::support::daemon::CONNECTION_UP;
use crate::support::disk::{Errno, Op, Times};
use crate::support::eventually::eventually_within;
use crate::support::queue::Amqp;

const BLOCKED: &str = "graphhook_amqp_connection_blocked";
const DAMAGED: &str = "graphhook_spool_damaged_files_total";
const RETURNED: &str = r#"graphhook_amqp_publish_total{result="returned"}"#;
const CLOSED: &str = r#"graphhook_amqp_publish_total{result="closed"}"#;
/// The daemon's word when all of a deleted file is in the new one.
const SAVED: &str = "the messages of the deleted spool file are saved";

impl Soak {
    /// Makes the fault, and waits for the proof that it took place. A fault that can last stands afterwards.
    pub(super) async fn inflict(&mut self, step: Step) -> String {
        match step.fault {
            Fault::BrokerKilled | Fault::BrokerPaused | Fault::MemoryAlarm => self.strike(step.fault).await,
            Fault::ConnectionCut | Fault::AnswersStalled | Fault::ConnectionsRefused => {
                self.pinch(step.fault).await
            }
            Fault::QueueUnbound | Fault::ExchangeDeleted => self.spoil_topology(step.fault).await,
            Fault::QueueDeleted => self.delete_queue().await,
            Fault::DaemonKilled => self.kill_daemon().await,
            Fault::DaemonStopped => self.stop_daemon().await,
            Fault::WriteFails => self.fail_once(Op::Write).await,
            Fault::SyncFails => self.fail_once(Op::Sync).await,
            Fault::DiskFull => self.fill_disk().await,
            Fault::SyncsSlow => self.slow_syncs(step.delay_ms).await,
            Fault::SpoolDeleted => self.delete_spool().await,
        }
    }

    /// To the broker itself.
    async fn strike(&mut self, fault: Fault) -> String {
        self.broker = Some(fault);
        if fault == Fault::MemoryAlarm {
            self.node.alarm(true).await;
            self.becomes(BLOCKED, |blocked| blocked == 1.0).await;
            return "the daemon sees itself blocked".to_owned();
        }
        if fault == Fault::BrokerKilled {
            self.node.kill()
        } else {
            self.node.pause()
        }
        self.becomes(CONNECTION_UP, |up| up == 0.0).await;
        "the daemon sees no connection".to_owned()
    }

    /// To the way to the broker.
    async fn pinch(&mut self, fault: Fault) -> String {
        let before = self.cut.seen();
        if fault == Fault::AnswersStalled {
            self.cut.stall_answers();
        } else {
            if fault == Fault::ConnectionsRefused {
                self.cut.refuse();
            }
            self.cut.cut();
        }
        self.broker = fault.can_last().then_some(fault);
        let done = async || {
            let now = self.cut.seen();
            if fault == Fault::ConnectionCut {
                some(now.reset - before.reset, "connections reset")
            } else if fault == Fault::AnswersStalled {
                some(now.held - before.held, "bytes held")
            } else {
                some(now.refused - before.refused, "connections refused")
            }
        };
        eventually_within(PATIENCE, format!("{fault:?}"), done).await
    }

    /// To the exchange or the binding; the daemon makes it again.
    async fn spoil_topology(&mut self, fault: Fault) -> String {
        let amqp = Amqp::connect(&self.node.url()).await;
        let (queue, exchange) = (self.daemon.queue().to_owned(), self.daemon.exchange().to_owned());
        let metrics = self.look().await;
        if fault == Fault::QueueUnbound {
            amqp.unbind(&queue, &exchange, "#").await;
            self.becomes(RETURNED, |returned| returned > metrics.get(RETURNED)).await;
            "messages came back".to_owned()
        } else {
            amqp.delete_exchange(&exchange).await;
            self.becomes(CLOSED, |closed| closed > metrics.get(CLOSED)).await;
            "a channel closed".to_owned()
        }
    }

    /// To the queue. What it holds at that moment is lost by our doing, so it is emptied first, with nothing coming
    /// in, and what is left all the same is counted.
    async fn delete_queue(&mut self) -> String {
        self.cut.stall();
        let amqp = Amqp::connect(&self.node.url()).await;
        let queue = self.daemon.queue().to_owned();
        self.take_from(&amqp).await;
        let destroyed = amqp.delete_queue(&queue).await;
        self.ledger.destroyed += u64::from(destroyed);
        assert!(!amqp.queue_exists(&queue).await, "the queue is still there");
        self.cut.heal();
        let again = async || amqp.queue_exists(&queue).await.then_some(());
        eventually_within(PATIENCE, "the queue, made again", again).await;
        settle(&self.node).await;
        format!("it was gone, with {destroyed} messages, and made again")
    }

    async fn kill_daemon(&mut self) -> String {
        let status = self.daemon.kill();
        self.note_exit(status.signal() == Some(9), "SIGKILL", status);
        self.restart().await;
        status.to_string()
    }

    async fn stop_daemon(&mut self) -> String {
        self.daemon.signal("TERM");
        let status = self.daemon.wait_exit().await;
        self.note_exit(status.code() == Some(0), "SIGTERM", status);
        self.restart().await;
        status.to_string()
    }

    fn note_exit(&mut self, is_good: bool, after: &str, status: std::process::ExitStatus) {
        if !is_good {
            self.seen.lock().expect(NO_PANIC).exits.push(format!("{status} after {after}"));
        }
    }

    async fn restart(&mut self) {
        self.keep_log();
        let begun = Instant::now();
        self.daemon.restart().await;
        // With neither broker nor disk it is rightly not ready.
        if self.broker.is_none() || self.on_disk != Some(Fault::DiskFull) {
            let ready = async || (self.daemon.get_admin("/readyz").await.0 == 200).then_some(());
            eventually_within(PATIENCE, "a ready daemon", ready).await;
        }
        let took = u64::try_from(begun.elapsed().as_millis()).expect("a time fits");
        // Opening a spool takes some syncs.
        if self.on_disk != Some(Fault::SyncsSlow) {
            self.report.worst_restart_ms = self.report.worst_restart_ms.max(took);
        }
        self.report.restarts += 1;
        if let Some(load) = &self.load {
            load.follow(&self.daemon);
        }
    }

    async fn fail_once(&mut self, op: Op) -> String {
        let (failed, damaged) = (self.disk.seen().failed(op), self.look().await.get(DAMAGED));
        self.disk.fail_on("-wal", op, Errno::Io, Times::Next(1));
        let done = async || (self.disk.seen().failed(op) > failed).then_some(());
        eventually_within(PATIENCE, format!("a {op:?} that fails"), done).await;
        self.becomes(DAMAGED, |files| files > damaged).await;
        "EIO, and the file was set aside".to_owned()
    }

    async fn fill_disk(&mut self) -> String {
        let failed = self.disk.seen().failed(Op::Write);
        self.disk.fail(Op::Write, Errno::Full, Times::All);
        self.on_disk = Some(Fault::DiskFull);
        let done = async || some(self.disk.seen().failed(Op::Write) - failed, "writes failed");
        eventually_within(PATIENCE, "a write that fails", done).await
    }

    async fn slow_syncs(&mut self, delay_ms: u64) -> String {
        let delayed = self.disk.seen().delayed;
        self.disk.delay_syncs(Duration::from_millis(delay_ms));
        self.on_disk = Some(Fault::SyncsSlow);
        let done = async || (self.disk.seen().delayed > delayed).then_some(());
        eventually_within(PATIENCE, "a sync that waits", done).await;
        format!("syncs wait {delay_ms} ms")
    }

    /// Not while anything is saved from a damaged file: nobody could save that after this. For the same reason it is
    /// over only when all that was deleted is saved.
    async fn delete_spool(&mut self) -> String {
        self.nothing_damaged().await;
        let damaged = self.look().await.get(DAMAGED);
        let saved = || self.daemon.log().matches(SAVED).count();
        let before = saved();
        // At one stroke: the daemon makes a new one as soon as the old one is not where it was.
        let gone = self.disk.root().join("gone");
        fs::rename(self.daemon.spool(), &gone).expect("a directory can be renamed");
        fs::remove_dir_all(&gone).expect("a directory can be deleted");
        self.becomes(DAMAGED, |files| files > damaged).await;
        let all = async || (saved() > before).then_some(());
        eventually_within(PATIENCE, "the messages of the deleted spool", all).await;
        "its messages were saved into a new one".to_owned()
    }

    /// Waits until every damaged file has been read.
    pub(super) async fn nothing_damaged(&self) {
        let none = async || {
            let names = fs::read_dir(self.daemon.spool()).into_iter().flatten().flatten();
            let damaged = names.filter(|entry| entry.file_name().to_string_lossy().contains(".damaged-"));
            (damaged.count() == 0).then_some(())
        };
        eventually_within(PATIENCE, "no damaged file", none).await;
    }

    /// Takes back what stands on the broker's side, and waits until daemon and broker have found each other.
    pub(super) async fn heal_broker(&mut self) {
        self.take_back().await;
        self.becomes(CONNECTION_UP, |up| up == 1.0).await;
    }

    pub(super) async fn take_back(&mut self) {
        let standing = self.broker.take();
        if standing == Some(Fault::BrokerKilled) {
            self.node.start().await;
        } else if standing == Some(Fault::BrokerPaused) {
            self.node.resume();
        } else if standing == Some(Fault::MemoryAlarm) {
            self.node.alarm(false).await;
        }
        self.cut.heal();
    }

    pub(super) fn heal_disk(&mut self) {
        self.disk.heal();
        self.on_disk = None;
    }
}

fn some(count: u64, what: &str) -> Option<String> {
    (count > 0).then(|| format!("{count} {what}"))
}
