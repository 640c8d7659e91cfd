//! Where the refresh token outlives us: a file of ours alone, replaced whole.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use zeroize::Zeroizing;

use super::{super::error::Cause, AuthError};
use crate::{
    blocking::off_thread,
    keepsake::{belong, make_directory},
    secret::Secret,
};

/// Keeps one refresh token.
#[derive(Clone, Debug)]
pub(super) struct Store {
    directory: PathBuf,
    /// A token that no disk took: it may be the only one that is good.
    unsaved: Arc<Mutex<Option<Secret>>>,
}

impl Store {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), unsaved: Arc::default() }
    }

    /// The token that is to be used next, if there is one.
    pub(super) async fn load(&self) -> Result<Option<Secret>, AuthError> {
        let unsaved = self.held().clone();
        if let Some(token) = unsaved {
            self.save(&token).await?;
            return Ok(Some(token));
        }
        let path = self.directory.join(NAME);
        let read = off_thread(move || read(&path)).await;
        read.map_err(|error| AuthError::Keep { doing: "read", source: Cause::new(error) })
    }

    /// Keeps this one from now on: it is on disk when this returns.
    pub(super) async fn save(&self, token: &Secret) -> Result<(), AuthError> {
        *self.held() = Some(token.clone());
        let (directory, kept) = (self.directory.clone(), token.clone());
        let written = off_thread(move || write(&directory, kept.expose())).await;
        written.map_err(|error| AuthError::Keep { doing: "keep", source: Cause::new(error) })?;
        *self.held() = None;
        Ok(())
    }

    /// Finds out whether one could be kept, before a user signs in for nothing.
    pub(super) async fn prepare(&self) -> Result<(), AuthError> {
        let directory = self.directory.clone();
        let tried = off_thread(move || {
            make_directory(&directory)?;
            tempfile::Builder::new().prefix(TRIAL).tempfile_in(&directory).map(drop)
        });
        tried.await.map_err(|error| AuthError::Keep { doing: "keep", source: Cause::new(error) })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Secret>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<Option<Secret>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Zeroizing::new(String::new());
    file.take(BYTES_MAX).read_to_string(&mut text)?;
    let token = text.trim();
    Ok((!token.is_empty()).then(|| Secret::new(token.to_owned())))
}

fn write(directory: &Path, token: &str) -> io::Result<()> {
    let owner = make_directory(directory)?;
    // Under a name of its own, for a daemon and a command may both have signed in; with mode 0600.
    let mut file = tempfile::Builder::new().prefix(TRIAL).tempfile_in(directory)?;
    // Root may sign in for a daemon of another user.
    belong(file.as_file(), owner)?;
    file.write_all(token.as_bytes())?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(directory.join(NAME)).map_err(|failed| failed.error)?;
    fs::File::open(directory)?.sync_all()
}

const NAME: &str = "refresh-token";
const TRIAL: &str = ".refresh-token-";
const BYTES_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[tokio::test]
    async fn a_token_is_kept_for_us_alone_and_leaves_no_rest() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = root.path().join("state");
        let store = Store::new(&directory);
        assert_eq!(store.load().await.expect("nothing is no error"), None);
        store.prepare().await.expect("it can be written");
        for token in ["first", "second"] {
            store.save(&Secret::new(token.to_owned())).await.expect("it can be written");
            // Another process reads what this one wrote.
            let kept = Store::new(&directory).load().await.expect("it can be read").expect("it is there");
            assert_eq!(kept.expose(), token);
        }
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&directory.join(NAME))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&directory).expect("it is there").count(), 1);
    }

    #[tokio::test]
    async fn what_root_writes_belongs_to_whom_the_directory_belongs_to() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let root = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::chown(root.path(), Some(4_711), Some(4_712)).expect("root may");
        Store::new(root.path()).save(&Secret::new("token".to_owned())).await.expect("it can be written");
        let kept = fs::metadata(root.path().join(NAME)).expect("it is there");
        assert_eq!((kept.uid(), kept.gid(), kept.mode() & 0o777), (4_711, 4_712, 0o600));
    }

    #[tokio::test]
    async fn a_token_that_no_disk_takes_is_not_forgotten() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = root.path().join("state");
        let store = Store::new(&directory);
        store.save(&Secret::new("old".to_owned())).await.expect("it can be written");
        // A file where the directory was: nothing can be written there, by root neither.
        fs::rename(&directory, root.path().join("away")).expect("it can be moved");
        fs::write(&directory, "").expect("it can be written");
        let error = store.save(&Secret::new("new".to_owned())).await.expect_err("there is no directory");
        assert!(matches!(error, AuthError::Keep { doing: "keep", .. }), "{error:?}");
        store.load().await.expect_err("it is not on disk yet");
        fs::remove_file(&directory).expect("it can be removed");
        fs::rename(root.path().join("away"), &directory).expect("it can be moved");
        assert_eq!(store.load().await.expect("it is kept now"), Some(Secret::new("new".to_owned())));
        assert_eq!(fs::read_to_string(directory.join(NAME)).expect("it is there"), "new\n");
    }
}
