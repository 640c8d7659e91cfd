//! Comparing a clientState with the table, giving away neither which entry was close nor how long it is.

use aws_lc_rs::digest::{SHA256, digest};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// The SHA-256 of a secret. Digests have one length, so comparing them tells nothing of the secrets' lengths;
/// and the table need not hold the secrets themselves.
#[derive(Clone)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    pub(super) fn of(text: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self(bytes)
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// The index of the first candidate that equals `claim`. Looks at every candidate, whatever it finds.
pub(super) fn first_equal<'a>(
    claim: &Digest,
    candidates: impl Iterator<Item = (usize, &'a Digest)>,
) -> Option<usize> {
    let mut found = Choice::from(0);
    let mut index = 0_u64;
    for (candidate, digest) in candidates {
        let equal = claim.0.ct_eq(&digest.0);
        index.conditional_assign(&(candidate as u64), equal & !found);
        found |= equal;
    }
    bool::from(found).then_some(index as usize)
}
