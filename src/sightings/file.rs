//! The file in which sightings outlive the daemon: a subscription that is silent must not be forgotten by an upgrade.
//!
//! It is no part of the promise, so nothing waits for it, and a file that cannot be read costs no more than what was
//! learnt. It is replaced whole, under a name of its own in the spool's directory, of which one daemon at a time is the
//! master.

use std::{io, path::Path, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Moment,
    book::{ID_BYTES_MAX, SIGHTINGS_MAX},
    end::End,
    rhythm::Rhythm,
    sighting::{About, Sighting},
};
use crate::keepsake;

/// Name of the file in the spool's directory.
pub(super) const NAME: &str = "subscriptions.json";

/// Why there is nothing from before, or will be nothing next time.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// It is there, and cannot be read.
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
    /// It is not what this program writes.
    #[error("is not a file of this program, or is damaged")]
    Foreign,
    /// Nothing can be written.
    #[error("cannot be written")]
    Unwritable(#[source] io::Error),
    /// It may be written later.
    #[error("was not written in time")]
    Slow,
}

/// What a file held.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) sightings: Vec<(Arc<str>, Sighting)>,
    /// The last moment of which we know that the daemon lived.
    pub(super) saved_at: Moment,
}

#[derive(Deserialize, Serialize)]
struct Written {
    format: String,
    saved_at: u64,
    subscriptions: Vec<Row>,
}

/// One subscription; all times in milliseconds.
#[derive(Deserialize, Serialize)]
struct Row {
    id: String,
    client_state: String,
    first_at: u64,
    last_at: u64,
    /// First and last change notification.
    heard: Option<(u64, u64)>,
    calls: u32,
    longest: [u64; 2],
    weeks_from: u64,
    deaf: u64,
    /// The end, and when it was first named.
    end: Option<(u64, u64)>,
    removed_at: Option<u64>,
    /// These two are younger than the format.
    #[serde(default)]
    tenant_id: Option<String>,
    #[serde(default)]
    resource_type: Option<String>,
}

/// Replaces the file.
pub(super) fn save(path: &Path, all: &[(Arc<str>, Sighting)], now: Moment) -> Result<(), FileError> {
    let subscriptions = all.iter().map(|(id, sighting)| Row::of(id, sighting)).collect();
    let written = Written { format: FORMAT.to_owned(), saved_at: millis(now), subscriptions };
    keepsake::replace(path, &written).map_err(FileError::Unwritable)
}

/// What the file holds, and when it was written; nothing if there is none. The time since then counts as time in which
/// nobody listened.
pub(super) fn load(path: &Path, now: Moment) -> Result<Option<Loaded>, FileError> {
    let text = match keepsake::read(path, BYTES_MAX) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(FileError::Foreign),
        Err(error) => return Err(FileError::Unreadable(error)),
    };
    let written: Written = serde_json::from_slice(&text).map_err(|_| FileError::Foreign)?;
    if written.format != FORMAT || written.subscriptions.len() > SIGHTINGS_MAX {
        return Err(FileError::Foreign);
    }
    let saved_at = Moment::from_millis(written.saved_at).min(now);
    let rows = written.subscriptions.into_iter().filter(|row| row.id.len() <= ID_BYTES_MAX);
    let sightings = rows.map(|row| row.sighting(now, now - saved_at)).collect();
    Ok(Some(Loaded { sightings, saved_at }))
}

impl Row {
    fn of(id: &str, sighting: &Sighting) -> Self {
        let Rhythm { heard, calls, longest, weeks_from, deaf } = &sighting.rhythm;
        Self {
            id: id.to_owned(),
            client_state: sighting.client_state.to_string(),
            first_at: millis(sighting.first_at),
            last_at: millis(sighting.last_at),
            heard: heard.map(|(first, last)| (millis(first), millis(last))),
            calls: *calls,
            longest: longest.map(millis),
            weeks_from: millis(*weeks_from),
            deaf: millis(*deaf),
            end: sighting.end.as_ref().map(|end| (millis(end.at), millis(end.named_at))),
            removed_at: sighting.removed_at.map(millis),
            tenant_id: sighting.tenant_id.as_deref().map(str::to_owned),
            resource_type: sighting.resource_type.as_deref().map(str::to_owned),
        }
    }

    /// What lies in the future was written while the clock was wrong: it counts as now.
    fn sighting(self, now: Moment, away: Duration) -> (Arc<str>, Sighting) {
        let past = |millis: u64| Moment::from_millis(millis).min(now);
        let mut rhythm = Rhythm {
            heard: self.heard.map(|(first, last)| (past(first), past(last))),
            calls: self.calls,
            longest: self.longest.map(Duration::from_millis),
            weeks_from: past(self.weeks_from),
            deaf: Duration::from_millis(self.deaf),
        };
        rhythm.was_deaf(away);
        let end =
            self.end.map(|(at, named_at)| End { at: Moment::from_millis(at), named_at: past(named_at) });
        let (first_at, last_at) = (past(self.first_at), past(self.last_at));
        let removed_at = self.removed_at.map(past);
        let state = self.client_state.into();
        let about =
            About { tenant_id: self.tenant_id.as_deref(), resource_type: self.resource_type.as_deref() };
        let mut sighting = Sighting::known(state, first_at, last_at, rhythm, end, removed_at);
        sighting.learn(about);
        (self.id.into(), sighting)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Says what the file is, and in which version.
const FORMAT: &str = "graphhook subscriptions 1";
/// What is read at most; a full book has a quarter of it.
const BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::{
        super::sighting::{Sign, SignKind},
        *,
    };

    fn at(seconds: u64) -> Moment {
        Moment::from_secs(seconds)
    }

    fn sighting() -> Sighting {
        let state: Arc<str> = "mail".into();
        let mut sighting = Sighting::new(&state, at(100));
        for (now, kind) in [(100, SignKind::Change), (500, SignKind::Change), (600, SignKind::Removed)] {
            let about = About { tenant_id: Some("t"), resource_type: Some("#Microsoft.Graph.Message") };
            sighting.note(&state, Sign { kind, end: Some("1970-01-01T01:00:00Z"), about }, at(now));
        }
        sighting
    }

    #[test]
    fn what_is_saved_comes_back_and_time_away_is_no_silence() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(NAME);
        assert!(load(&path, at(0)).expect("nothing").is_none());
        let before = sighting();
        for _ in 0..2 {
            save(&path, &[("a".into(), before.clone())], at(700)).expect("saved");
        }
        let loaded = load(&path, at(1_000)).expect("ours").expect("something");
        assert_eq!(loaded.saved_at, at(700));
        let [(id, after)] = &loaded.sightings[..] else { panic!("{loaded:?}") };
        assert_eq!(&**id, "a");
        assert_eq!(
            (&after.client_state, after.first_at, after.last_at, &after.end, after.removed_at),
            (&before.client_state, before.first_at, before.last_at, &before.end, before.removed_at)
        );
        assert_eq!((after.tenant_id.as_deref(), &after.resource_type), (Some("t"), &before.resource_type));
        assert_eq!(after.rhythm, Rhythm { deaf: Duration::from_secs(300), ..before.rhythm });
        assert_eq!(std::fs::read_dir(directory.path()).expect("there").count(), 1);
    }

    #[test]
    fn a_file_from_before_tenants_were_kept_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(NAME);
        save(&path, &[("a".into(), sighting())], at(700)).expect("saved");
        let now = std::fs::read_to_string(&path).expect("text");
        let (before, _) = now.split_once(",\"tenant_id\"").expect("they are the last ones");
        std::fs::write(&path, format!("{before}}}]}}")).expect("written");
        let loaded = load(&path, at(700)).expect("ours").expect("something");
        assert_eq!((loaded.sightings.len(), &loaded.sightings[0].1.tenant_id), (1, &None));
    }

    #[test]
    fn a_clock_that_was_wrong_leaves_nothing_in_the_future() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(NAME);
        save(&path, &[("a".into(), sighting())], at(700)).expect("saved");
        let Loaded { sightings: loaded, saved_at } = load(&path, at(50)).expect("ours").expect("something");
        assert_eq!((loaded[0].1.first_at, loaded[0].1.last_at, saved_at), (at(50), at(50), at(50)));
        assert_eq!(loaded[0].1.rhythm.quiet(at(0), at(60)), Duration::from_secs(10));
    }

    #[test]
    fn links_and_pipes_lead_nowhere() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().expect("a directory");
        let [path, others] = [NAME, "others"].map(|name| directory.path().join(name));
        std::fs::write(&others, "theirs").expect("written");
        symlink(&others, path.with_added_extension("new")).expect("a link");
        save(&path, &[("a".into(), sighting())], at(700)).expect("saved");
        assert_eq!(std::fs::read_to_string(&others).expect("text"), "theirs");
        assert!(std::fs::symlink_metadata(&path).expect("there").is_file());

        std::fs::rename(&path, &others).expect("renamed");
        symlink(&others, &path).expect("a link");
        load(&path, at(700)).expect_err("a link");
        std::fs::remove_file(&path).expect("removed");
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).expect("a pipe");
        load(&path, at(700)).expect_err("a pipe");
    }

    #[test]
    fn what_is_not_ours_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(NAME);
        save(&path, &[("a".into(), sighting())], at(700)).expect("saved");
        let good = std::fs::read_to_string(&path).expect("text");
        for bad in [
            String::new(),
            "{}".to_owned(),
            "\u{0}\u{0}".to_owned(),
            good[..good.len() / 2].to_owned(),
            good.replace("subscriptions 1", "subscriptions 2"),
            good.replace("\"first_at\":", "\"first_at\":-"),
        ] {
            std::fs::write(&path, &bad).expect("written");
            assert!(matches!(load(&path, at(0)), Err(FileError::Foreign)), "{bad}");
        }
        assert!(matches!(load(directory.path(), at(0)), Err(FileError::Foreign)));
        let nowhere = directory.path().join("nowhere").join(NAME);
        assert!(matches!(save(&nowhere, &[], at(0)), Err(FileError::Unwritable(_))));
    }
}
