//! Who the daemon is when it runs, and what the system lets him do.
//!
//! `check` is best run as the daemon's user, and then simply tries. Root may read everything, so for him the user is
//! looked up and the modes of files are read instead, without access lists.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

/// The daemon's user.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct User {
    name: String,
    /// User and groups, unless he is ourselves.
    other: Option<Ids>,
}

#[derive(Debug, Eq, PartialEq)]
struct Ids {
    user: u32,
    groups: Vec<u32>,
}

impl User {
    /// Ourselves; but for root, with a configuration where the package has it, the package's user.
    pub(super) fn of_daemon(configuration: &str) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        if is_root && configuration.starts_with(PACKAGED) {
            let read = |path| fs::read_to_string(path).unwrap_or_default();
            if let Some(ids) = Ids::find(NAME, &read("/etc/passwd"), &read("/etc/group")) {
                return Self { name: NAME.to_owned(), other: Some(ids) };
            }
        }
        Self { name: format!("user {}", rustix::process::geteuid().as_raw()), other: None }
    }

    /// Whether it is he who runs `check`.
    pub(super) fn is_us(&self) -> bool {
        self.other.is_none()
    }

    /// How he is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether he can read this file; if not, what is in the way.
    pub(super) fn may_read(&self, file: &Path) -> Result<(), PathBuf> {
        self.may(file, READ)
    }

    /// Whether he can make files in this directory; if not, what is in the way.
    pub(super) fn may_write(&self, directory: &Path) -> Result<(), PathBuf> {
        self.may(directory, WRITE | SEARCH)
    }

    fn may(&self, path: &Path, wanted: u32) -> Result<(), PathBuf> {
        let Some(ids) = &self.other else {
            let wanted = if wanted == READ { Access::READ_OK } else { Access::WRITE_OK | Access::EXEC_OK };
            return access(path, wanted).map_err(|_| path.to_owned());
        };
        let path = fs::canonicalize(path).map_err(|_| path.to_owned())?;
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        let steps = above.into_iter().map(|directory| (directory, SEARCH)).chain([(path.as_path(), wanted)]);
        for (step, wanted) in steps {
            let is_allowed = fs::metadata(step)
                .is_ok_and(|file| ids.are_allowed(wanted, file.mode(), file.uid(), file.gid()));
            if !is_allowed {
                return Err(step.to_owned());
            }
        }
        Ok(())
    }
}

impl Ids {
    /// passwd(5), group(5).
    fn find(name: &str, passwd: &str, group: &str) -> Option<Self> {
        let fields = |line: &'_ str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let entry = passwd.lines().map(fields).find(|fields| fields[0] == name)?;
        let user = entry.get(2)?.parse().ok()?;
        let mut groups = vec![entry.get(3)?.parse().ok()?];
        for fields in group.lines().map(fields) {
            let is_member =
                fields.get(3).is_some_and(|members| members.split(',').any(|member| member == name));
            groups.extend(fields.get(2).filter(|_| is_member).and_then(|id| id.parse::<u32>().ok()));
        }
        Some(Self { user, groups })
    }

    /// The first of owner, group and others that fits decides.
    fn are_allowed(&self, wanted: u32, mode: u32, owner: u32, group: u32) -> bool {
        let granted = if self.user == owner {
            mode >> 6
        } else if self.groups.contains(&group) {
            mode >> 3
        } else {
            mode
        };
        self.user == 0 || granted & wanted == wanted
    }
}

/// User of the package, and the directory of its configuration.
const NAME: &str = "graphhook";
const PACKAGED: &str = "/etc/graphhook/";
const READ: u32 = 4;
const WRITE: u32 = 2;
const SEARCH: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_with_all_his_groups() {
        let passwd = "root:x:0:0::/root:/bin/sh\ngraphhook:x:998:997::/:/usr/sbin/nologin\n";
        let group = "graphhook:x:997:\ncerts:x:500:adm,graphhook\nothers:x:501:adm\n";
        let expected = Ids { user: 998, groups: vec![997, 500] };
        assert_eq!(Ids::find("graphhook", passwd, group), Some(expected));
        assert_eq!(Ids::find("nobody", passwd, group), None);
        assert_eq!(Ids::find("graphhook", "graphhook:x:what:", group), None);
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let ids = Ids { user: 998, groups: vec![997] };
        for (wanted, mode, owner, group, expected) in [
            (READ, 0o640, 0, 997, true),
            (READ, 0o640, 0, 0, false),
            (READ, 0o644, 0, 0, true),
            (READ, 0o044, 998, 997, false),
            (READ, 0o604, 0, 997, false),
            (WRITE | SEARCH, 0o700, 998, 0, true),
            (WRITE | SEARCH, 0o750, 0, 997, false),
        ] {
            assert_eq!(ids.are_allowed(wanted, mode, owner, group), expected, "{mode:o} {owner} {group}");
        }
        assert!(Ids { user: 0, groups: vec![0] }.are_allowed(READ, 0, 998, 998));
    }
}
