//! Files that the configuration names: who can read them, who could change them, and where links lead.

use std::{collections::HashSet, fs, os::unix::fs::MetadataExt, path::Path};

use super::{
    report::{Check, Finding},
    user::User,
};
use crate::config::{Content, NamedFile};

/// What was found, and whether the daemon would start: it reads every one of them, and refuses to start without. What is
/// not there is told of by whoever needs it.
pub(super) fn files(files: &[NamedFile], user: &User) -> (Vec<Finding>, bool) {
    let mut findings = Vec::new();
    let (mut seen, mut readable, mut starts) = (HashSet::new(), 0, true);
    for named in files.iter().filter(|named| seen.insert(&named.path)) {
        let Ok(target) = fs::canonicalize(&named.path) else { continue };
        match user.may_read(&target) {
            Ok(()) => readable += 1,
            Err(obstacle) => {
                starts = false;
                findings.push(unreadable(named, user, &target, &obstacle));
            }
        }
        if let Ok(file) = fs::metadata(&target)
            && file.is_file()
        {
            findings.extend(mode(named, &target, file.mode()));
            findings.extend(directory(named, &target));
        }
        if named.path.is_symlink() {
            let words = format!("{} leads to {}", shown(named), target.display());
            findings.push(Finding::ok(Check::Files, words));
        }
    }
    findings.push(Finding::ok(Check::Files, format!("{readable} can be read by {}", user.name())));
    (findings, starts)
}

fn unreadable(named: &NamedFile, user: &User, target: &Path, obstacle: &Path) -> Finding {
    let words = format!("{}: {} cannot read it", shown(named), user.name());
    let advice = match (obstacle == target, named.content) {
        (true, Content::Secret) => "chgrp graphhook and chmod 640".to_owned(),
        (true, Content::Public) => "chmod 644".to_owned(),
        (false, Content::Secret | Content::Public) => {
            format!("chgrp graphhook and chmod 750 {}", obstacle.display())
        }
    };
    Finding::failed(Check::Files, words, advice)
}

/// That the daemon's group reads a secret is as it should be.
fn mode(named: &NamedFile, target: &Path, mode: u32) -> Option<Finding> {
    let right = match named.content {
        Content::Secret => "640",
        Content::Public => "644",
    };
    let who = match (mode & 0o002 != 0, mode & 0o020 != 0) {
        (true, _) => "everybody can change it",
        (false, true) => "its group can change it",
        (false, false) if named.content == Content::Secret && mode & 0o004 != 0 => "everybody can read it",
        (false, false) => return None,
    };
    let words = format!("{}: {who} (mode {:03o})", shown(named), mode & 0o777);
    Some(Finding::warning(Check::Files, words, format!("chmod {right} {}", target.display())))
}

/// In a directory where everybody may rename things, the mode of a file is worth nothing; unless it is sticky, as /tmp is.
fn directory(named: &NamedFile, target: &Path) -> Option<Finding> {
    let directory = target.parent()?;
    let mode = fs::metadata(directory).ok()?.mode();
    let is_open = mode & 0o002 != 0 && mode & 0o1000 == 0;
    is_open.then(|| {
        let words = format!("{}: everybody can put another file in its place", shown(named));
        Finding::warning(Check::Files, words, format!("chmod o-w {}", directory.display()))
    })
}

fn shown(named: &NamedFile) -> String {
    match &*named.key {
        "" => named.path.display().to_string(),
        key => format!("{key}: {}", named.path.display()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[track_caller]
    fn check(content: Content, bits: u32, words: Option<&str>) {
        let path = PathBuf::from("/etc/graphhook/x");
        let named = NamedFile { key: "a.b".to_owned(), path: path.clone(), content };
        let found = mode(&named, &path, 0o100_000 | bits).map(|finding| format!("{finding:?}"));
        match words {
            None => assert!(found.is_none(), "{bits:o}: {found:?}"),
            Some(words) => {
                assert!(found.as_ref().is_some_and(|found| found.contains(words)), "{bits:o}: {found:?}")
            }
        }
    }

    #[test]
    fn a_mode_tells_who_else_can_read_or_change_a_file() {
        for bits in [0o400, 0o440, 0o600, 0o640] {
            check(Content::Secret, bits, None);
            check(Content::Public, bits, None);
        }
        check(Content::Public, 0o644, None);
        check(Content::Secret, 0o644, Some("everybody can read it (mode 644)"));
        check(Content::Secret, 0o660, Some("its group can change it"));
        check(Content::Public, 0o664, Some("chmod 644"));
        check(Content::Public, 0o666, Some("everybody can change it"));
    }

    #[test]
    fn links_and_open_directories_are_told_of() {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("real");
        fs::write(&file, "x").expect("written");
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        let named = NamedFile { key: String::new(), path: link, content: Content::Public };
        let user = User::of_daemon("");
        let said = format!("{:?}", files(&[named.clone(), named.clone()], &user).0);
        assert_eq!(said.matches("link leads to").count(), 1, "{said}");
        assert!(said.contains("1 can be read by user"), "{said}");
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(place.path(), everybody).expect("set");
        let said = format!("{:?}", files(&[named], &user).0);
        assert!(said.contains("put another file in its place"), "{said}");
    }
}
