//! What must outlive the daemon: the account and one certificate for each domain, in a directory of their own.
//!
//! Each thing is one file, so that a certificate and its key change together, and a file is replaced by a rename:
//! a crash at any moment leaves the old one or the new one, whole. What cannot be understood is set aside, not deleted.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use aws_lc_rs::digest;
use tracing::error;
use zeroize::Zeroizing;

use crate::{
    error::Chain,
    failpoint::{Point, reached},
};

/// The files that belong to one authority.
///
/// Another authority has another directory: a certificate of its tests is not served as a real one after the change.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
}

/// Why something is not kept, or was not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    /// A file that cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file that is not as it was written.
    #[error("{} is damaged", .0.display())]
    Damaged(PathBuf),
}

impl Cache {
    /// The part of the directory `root` that belongs to the authority of this URL.
    pub(crate) fn new(root: &Path, authority: &str) -> Self {
        let host = url::Url::parse(authority).ok().and_then(|url| url.host_str().map(str::to_owned));
        let digest = digest::digest(&digest::SHA256, authority.as_bytes());
        let tail = hex(&digest.as_ref()[..4]);
        // An IPv6 address stands in brackets, with colons.
        let host = host.unwrap_or_default().replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        Self { directory: root.join(format!("{host}-{tail}")) }
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the directory if need be, and finds out whether something can be kept there: what cannot be kept shall not
    /// be ordered, because each start of the daemon would order it again.
    pub(crate) fn prepare(&self) -> Result<(), CacheError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        made.map_err(|source| CacheError::Io { doing: "make", path: self.directory.clone(), source })?;
        let trial = self.directory.join("trial");
        self.write(&trial, &[b' '; 16 << 10])?;
        fs::remove_file(&trial).map_err(|source| CacheError::Io { doing: "remove", path: trial, source })
    }

    /// Key and certificates of a domain, PEM.
    pub(crate) fn certificate(&self, domain: &str) -> PathBuf {
        self.directory.join(format!("{domain}.pem"))
    }

    /// Key and certificates of a domain as they were kept, if they are there.
    pub(crate) fn load_certificate(&self, domain: &str) -> Result<Option<Zeroizing<Vec<u8>>>, CacheError> {
        let path = self.certificate(domain);
        let Some(mut bytes) = read(&path)? else { return Ok(None) };
        match unsealed(&bytes).map(<[u8]>::len) {
            Some(length) => bytes.truncate(length),
            None => return Err(CacheError::Damaged(path)),
        }
        Ok(Some(bytes))
    }

    /// Keeps key and certificates of a domain.
    pub(crate) fn save_certificate(&self, domain: &str, pem: &str) -> Result<(), CacheError> {
        let seal = seal(pem.as_bytes());
        self.save(&self.certificate(domain), Zeroizing::new(format!("{pem}{SEAL}{seal}\n")).as_bytes())
    }

    /// The account, as it was saved.
    pub(crate) fn account(&self) -> Result<Option<Zeroizing<Vec<u8>>>, CacheError> {
        read(&self.account_file())
    }

    /// Keeps the account.
    pub(crate) fn save_account(&self, account: &[u8]) -> Result<(), CacheError> {
        self.save(&self.account_file(), account)
    }

    /// Moves the account away, for it is no good.
    pub(crate) fn set_account_aside(&self, why: &(dyn std::error::Error + 'static)) {
        set_aside(&self.account_file(), why);
    }

    fn account_file(&self) -> PathBuf {
        // No domain is called this: each has a dot in its name, and ".pem" at the end of its file's.
        self.directory.join("account.json")
    }

    fn save(&self, path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
        let fresh = path.with_added_extension("new");
        self.write(&fresh, bytes)?;
        reached(Point::AcmeMidSave);
        let failed = |source| CacheError::Io { doing: "replace", path: path.to_owned(), source };
        fs::rename(&fresh, path).map_err(failed)?;
        fs::File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(failed)
    }

    /// A file of ours alone, on disk when this returns.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
        let failed = |source| CacheError::Io { doing: "write", path: path.to_owned(), source };
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = file.map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
    }
}

/// What stands before the seal, if that is right. Without it a chain that has lost its end, or a bit, would pass for a
/// whole one: outside of its sections PEM may hold anything, and a chain of one is a chain.
fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.len().checked_sub(SEAL.len() + 64 + 1)?;
    let (pem, rest) = bytes.split_at(length);
    (rest == format!("{SEAL}{}\n", seal(pem)).as_bytes()).then_some(pem)
}

/// SHA-256 in hexadecimal digits.
fn seal(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a file holds, if it is there.
fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, CacheError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CacheError::Io { doing: "read", path: path.to_owned(), source }),
    }
}

/// Moves a file away that is no good, to where somebody can look at it. If even that fails it is written over some day.
pub(super) fn set_aside(path: &Path, why: &(dyn std::error::Error + 'static)) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let aside = path.with_added_extension(format!("damaged-{now}"));
    match fs::rename(path, &aside) {
        Ok(()) => {
            error!(event = "acme_cache_set_aside", error = %Chain(why), aside = %aside.display(), "a file of the ACME cache is set aside");
        }
        Err(failed) => {
            error!(event = "acme_cache_unusable", error = %Chain(why), %failed, file = %path.display(), "a file of the ACME cache is no good");
        }
    }
}

/// Begins the last line of a certificate's file.
const SEAL: &str = "sha256:";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn authorities_do_not_share_a_directory() {
        let root = Path::new("/cache");
        let of = |url: &str| Cache::new(root, url).directory().display().to_string();
        let real = of("https://acme-v02.api.letsencrypt.org/directory");
        assert!(real.starts_with("/cache/acme-v02.api.letsencrypt.org-"), "{real}");
        assert_ne!(of("https://ca.example/a"), of("https://ca.example/b"));
        assert!(
            of("https://[::1]:14000/dir").starts_with("/cache/---1--"),
            "{}",
            of("https://[::1]:14000/dir")
        );
    }

    #[test]
    fn what_is_kept_is_ours_alone_and_leaves_no_rest() {
        let root = tempfile::tempdir().expect("a directory");
        let cache = Cache::new(&root.path().join("acme"), "https://ca.example/dir");
        cache.prepare().expect("it can be written");
        for text in ["first", "second"] {
            cache.save_certificate("a.example", text).expect("it can be written");
            let kept = cache.load_certificate("a.example").expect("it is whole").expect("it is there");
            assert_eq!(&**kept, text.as_bytes());
        }
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(cache.directory()), 0o700);
        assert_eq!(mode(&cache.certificate("a.example")), 0o600);
        assert_eq!(fs::read_dir(cache.directory()).expect("it is there").count(), 1);
    }

    #[test]
    fn what_has_lost_a_bit_or_its_end_is_damaged() {
        let root = tempfile::tempdir().expect("a directory");
        let cache = Cache::new(root.path(), "https://ca.example/dir");
        cache.prepare().expect("it can be written");
        cache.save_certificate("a.example", "some text").expect("it can be written");
        let file = cache.certificate("a.example");
        let whole = fs::read(&file).expect("it is there");
        for length in 0..whole.len() {
            fs::write(&file, &whole[..length]).expect("it can be written");
            cache.load_certificate("a.example").expect_err("it has lost its end");
            let mut flipped = whole.clone();
            flipped[length] ^= 1;
            fs::write(&file, &flipped).expect("it can be written");
            cache.load_certificate("a.example").expect_err("it has lost a bit");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_told_of() {
        let cache = Cache::new(Path::new("/dev/null/acme"), "https://ca.example/dir");
        let error = cache.prepare().expect_err("there is no such place");
        assert!(error.to_string().starts_with("cannot make /dev/null/acme/ca.example-"), "{error}");
    }
}
