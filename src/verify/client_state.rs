//! Comparing a clientState with the table, giving away neither which entry was close nor how long it is.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use subtle::{ConditionallySelectable, ConstantTimeEq, ConstantTimeLess};

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

/// What the items of a POST present: mostly one and the same, which is digested once.
#[derive(Debug, Default)]
pub(super) struct Presented<'a>(Option<(Cow<'a, str>, Digest)>);

impl<'a> Presented<'a> {
    /// The digest of this text. It is compared with another of its sender's alone: how long that takes, tells nothing of
    /// the table.
    #[expect(clippy::ptr_arg, reason = "it is kept, and most often it is borrowed from the body")]
    pub(super) fn digest(&mut self, text: &Cow<'a, str>) -> &Digest {
        if self.0.as_ref().is_some_and(|(known, _)| known != text) {
            self.0 = None;
        }
        let (_, digest) = self.0.get_or_insert_with(|| (text.clone(), Digest::of(text)));
        digest
    }
}

/// The lowest index of the candidates that equal `claim`. Looks at every candidate, whatever it finds.
pub(super) fn lowest_equal<'a>(
    claim: &Digest,
    candidates: impl Iterator<Item = (usize, &'a Digest)>,
) -> Option<usize> {
    let mut lowest = u64::MAX;
    for (candidate, digest) in candidates {
        let candidate = candidate as u64;
        lowest.conditional_assign(&candidate, claim.0.ct_eq(&digest.0) & candidate.ct_lt(&lowest));
    }
    (lowest < u64::MAX).then_some(lowest as usize)
}
