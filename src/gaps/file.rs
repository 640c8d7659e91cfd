//! The file in which owed gaps outlive the daemon. It is there only if something could once not be told at once.

use std::{io, path::Path, time::SystemTime};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{envelope::gap::Gap, error::Chain, keepsake};

/// What outlives a restart.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Written {
    format: String,
    /// Since when Graph throws notifications away, if it does.
    pub(super) dropping_since: Option<SystemTime>,
    /// What consumers are still to be told.
    pub(super) owed: Vec<Gap>,
}

impl Written {
    pub(super) fn of(dropping_since: Option<SystemTime>, owed: Vec<Gap>) -> Self {
        Self { format: FORMAT.to_owned(), dropping_since, owed }
    }
}

/// What the file holds. One that cannot be read is told of, for what it held is lost.
pub(super) fn load(file: &Path) -> Written {
    let written = match keepsake::read(file, BYTES_MAX) {
        Ok(None) => Ok(Written::of(None, Vec::new())),
        Ok(Some(text)) => serde_json::from_slice::<Written>(&text).map_err(io::Error::from),
        Err(error) => Err(error),
    };
    let foreign = || io::Error::from(io::ErrorKind::InvalidData);
    let ours = written.and_then(|it| if it.format == FORMAT { Ok(it) } else { Err(foreign()) });
    ours.unwrap_or_else(|error| {
        warn!(
            event = "gaps_not_loaded",
            file = %file.display(),
            error = %Chain(&error),
            "gaps that consumers were still to be told of are forgotten"
        );
        Written::of(None, Vec::new())
    })
}

/// Name of the file in the spool's directory.
pub(super) const NAME: &str = "gaps.json";
/// Says what the file is, and in which version.
const FORMAT: &str = "graphhook gaps 1";
/// What is read of it at most; that of a full ledger has half of it.
const BYTES_MAX: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::gap::GapReason;

    #[test]
    fn what_is_owed_comes_back_and_what_is_not_ours_is_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join(NAME);
        let nothing = Written::of(None, Vec::new());
        assert_eq!(load(&file), nothing);
        let now = SystemTime::now();
        let written = Written::of(Some(now), vec![Gap::new(GapReason::Downtime, None, now)]);
        keepsake::replace(&file, &written).expect("written");
        assert_eq!(load(&file), written);
        let good = std::fs::read_to_string(&file).expect("text");
        for bad in [String::new(), good[..good.len() / 2].to_owned(), good.replace("gaps 1", "gaps 2")] {
            std::fs::write(&file, bad).expect("written");
            assert_eq!(load(&file), nothing);
        }
    }
}
