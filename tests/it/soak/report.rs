//! What a run has to show: one JSON file, and the verdicts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::plan::Fault;

/// The file.
#[derive(Default, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) version: String,
    pub(super) commit: String,
    /// As asked for, and as it was.
    pub(super) minutes: u64,
    pub(super) seconds: u64,
    pub(super) rounds: u64,
    pub(super) faults: BTreeMap<Fault, Kind>,
    pub(super) restarts: u64,
    pub(super) issued: u64,
    pub(super) forged: u64,
    pub(super) accepted: u64,
    pub(super) requests: u64,
    pub(super) resent: u64,
    pub(super) unavailable: u64,
    pub(super) unanswered: u64,
    pub(super) delivered: u64,
    pub(super) quarantined: u64,
    pub(super) doubles: u64,
    pub(super) doubles_allowed: u64,
    /// Messages that went with the queues that the test deleted.
    pub(super) destroyed: u64,
    pub(super) worst_answer_ms: u64,
    pub(super) p999_accepted_ms: u64,
    /// How late the test's own clock was, at worst.
    pub(super) test_late_ms: u64,
    pub(super) worst: Figures,
    /// At each judgement, without load.
    pub(super) at_rest: Vec<Figures>,
    pub(super) worst_restart_ms: u64,
    /// From the end of the faults to a fresh item's confirm.
    pub(super) worst_recovery_ms: u64,
    pub(super) verdicts: BTreeMap<&'static str, Verdict>,
    pub(super) failure: Option<String>,
    pub(super) repeat: String,
}

/// The faults of one kind.
#[derive(Default, Serialize)]
pub(super) struct Kind {
    pub(super) count: u64,
    /// That each took place; the last few.
    pub(super) proofs: Vec<String>,
}

/// What the daemon takes of the system.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Figures {
    pub(super) memory_bytes: u64,
    pub(super) files: u64,
    pub(super) threads: u64,
}

#[derive(Serialize)]
pub(super) struct Verdict {
    pub(super) holds: bool,
    pub(super) what: String,
}

impl Report {
    /// Takes note of a fault that took place.
    pub(super) fn took_place(&mut self, fault: Fault, proof: &str) {
        let kind = self.faults.entry(fault).or_default();
        kind.count += 1;
        if kind.proofs.len() == PROOFS_KEPT {
            kind.proofs.remove(0);
        }
        kind.proofs.push(proof.to_owned());
    }

    /// A verdict that was bad once stays so.
    pub(super) fn judge(&mut self, name: &'static str, holds: bool, what: String) {
        let was_good = self.verdicts.get(name).is_none_or(|verdict| verdict.holds);
        if was_good {
            self.verdicts.insert(name, Verdict { holds, what });
        }
    }

    /// The bad ones.
    pub(super) fn failed(&self) -> Vec<String> {
        let bad = self.verdicts.iter().filter(|(_, verdict)| !verdict.holds);
        bad.map(|(name, verdict)| format!("{name}: {}", verdict.what)).collect()
    }

    pub(super) fn write(&self) -> PathBuf {
        let path = file(self.seed, "json");
        let text = serde_json::to_string_pretty(self).expect("names and numbers are JSON");
        fs::write(&path, text + "\n").expect("the report can be written");
        path
    }
}

/// `target/soak/SEED.extension`
pub(super) fn file(seed: u64, extension: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("soak");
    fs::create_dir_all(&directory).expect("a directory can be made below target");
    directory.join(format!("{seed}.{extension}"))
}

impl Figures {
    pub(super) fn raise_to(&mut self, other: Self) {
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.files = self.files.max(other.files);
        self.threads = self.threads.max(other.threads);
    }
}

const PROOFS_KEPT: usize = 3;
