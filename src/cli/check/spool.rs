//! The spool: whether the daemon can keep there what it answers 202 for.

use std::{fs, io, path::Path, time::Duration};

use super::{
    super::words,
    ground::{Ground, Kind},
    listen::Daemon,
    report::{Check, Finding},
    user::User,
};
use crate::{
    config::Spool,
    delivery::spool::inspect::{Outlook, outlook},
};

/// What was found, and whether `serve` would start with it: a spool that cannot be used keeps nobody from starting.
pub(super) fn spool(spool: &Spool, user: &User, daemon: Daemon) -> (Vec<Finding>, bool) {
    let shown = spool.directory.display();
    let failed = |words: String, advice: &str| Finding::failed(CHECK, words, advice);
    let warning = |words: String, advice: &str| Finding::warning(CHECK, words, advice);
    let free = match outlook(&spool.directory) {
        Ok(Outlook::Good { free }) => free,
        Ok(Outlook::Damaged(why)) => {
            let advice = "start the daemon: it saves what it can";
            return (vec![warning(format!("{shown}: {why}"), advice)], true);
        }
        Ok(Outlook::Newer(format)) => {
            let words = format!("{shown} was written by a newer graphhook (format {format})");
            return (vec![failed(words, "install that")], false);
        }
        Err(error) => return (vec![failed(format!("{shown}: {error}"), MEND)], true),
    };
    let ground = match Ground::of(&spool.directory) {
        Ok(ground) => ground,
        Err(error) => return (vec![failed(format!("{shown}: {error}"), MEND)], true),
    };
    let mut findings = Vec::new();
    let obstacle = user.may_write(&ground.there).err().filter(|_| ground.exists);
    if let Some(obstacle) = &obstacle {
        let words =
            format!("{shown}: {} cannot write there, for the mode of {}", user.name(), obstacle.display());
        let advice = format!("chown -R {} {shown}", user.name());
        findings.push(Finding::failed(CHECK, words, advice));
    }
    findings.extend(footing(&ground, &spool.directory));
    if free.saturating_add(used(&spool.directory)) < spool.bytes_max {
        let words = format!("{shown}: the disk has {} left, less than spool.max_size", words::bytes(free));
        findings.push(warning(words, "make room, or lower spool.max_size"));
    }
    match &ground.synced {
        Ok(time) if *time > SLOW => {
            let words = format!("{shown}: a sync took {} ms, and requests wait for it", time.as_millis());
            findings.push(warning(words, "look for what else keeps the disk busy, or choose another"));
        }
        Err(error) => {
            findings.push(failed(format!("{shown}: a trial file cannot be synced ({error})"), MEND))
        }
        Ok(_) => {}
    }
    if let (None, Ok(time)) = (&obstacle, ground.synced) {
        let state = match daemon {
            Daemon::Running => "is in use by graphhook",
            Daemon::Away if ground.exists => "can be written",
            Daemon::Away => "can be made",
        };
        let (left, time) = (words::bytes(free), time.as_millis());
        findings.push(Finding::ok(
            CHECK,
            format!("{shown} {state}; {left} left on the disk; a sync takes {time} ms"),
        ));
    }
    (findings, true)
}

fn footing(ground: &Ground, directory: &Path) -> Option<Finding> {
    let shown = directory.display();
    match &ground.kind {
        Kind::Local => None,
        Kind::Remote(name) => {
            let words =
                format!("{shown} is on another machine ({name}), where SQLite's locks and log do not work");
            Some(Finding::failed(CHECK, words, "choose a directory on a local disk"))
        }
        Kind::Memory => {
            let words = format!("{shown} is in memory: what waits there is gone when the machine restarts");
            Some(Finding::warning(CHECK, words, "choose a directory on a local disk"))
        }
        Kind::Layer => {
            let words = format!("{shown} is in the container's own layer, and gone with the container");
            Some(Finding::warning(CHECK, words, "mount a volume there"))
        }
        Kind::Program(name) => {
            let words =
                format!("{shown} is a program's file system ({name}): nobody knows what its fsync is worth");
            Some(Finding::warning(CHECK, words, "choose a directory on a local disk"))
        }
    }
}

/// Bytes that the spool has already.
fn used(directory: &Path) -> u64 {
    let sizes =
        |entries: fs::ReadDir| -> io::Result<u64> { entries.map(|entry| Ok(entry?.metadata()?.len())).sum() };
    fs::read_dir(directory).and_then(sizes).unwrap_or_default()
}

const CHECK: Check = Check::Spool;
const MEND: &str = "run check as the daemon's user, or mend the directory";
/// Long before the daemon would give up a write, but no disk in good health takes as long.
const SLOW: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footings_are_judged() {
        let of = |kind| Ground { there: "/s".into(), exists: true, kind, synced: Ok(Duration::ZERO) };
        let said = |kind| footing(&of(kind), Path::new("/s")).map(|finding| format!("{finding:?}"));
        assert_eq!(said(Kind::Local), None);
        for (kind, verdict) in [
            (Kind::Remote("NFS".to_owned()), "Failed"),
            (Kind::Memory, "Warning"),
            (Kind::Layer, "Warning"),
            (Kind::Program("fuse.x".to_owned()), "Warning"),
        ] {
            assert!(said(kind.clone()).is_some_and(|said| said.contains(verdict)), "{kind:?}");
        }
    }
}
