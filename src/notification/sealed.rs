//! Resource data as Graph sends it: sealed, with tokens that vouch for it. Read here, and not believed.
//!
//! The shapes are Graph's `changeNotificationEncryptedContent`
//! (<https://learn.microsoft.com/graph/api/resources/changenotificationencryptedcontent>) and the `validationTokens` of
//! its `changeNotificationCollection`.

use std::{borrow::Cow, fmt};

use super::{
    json::Text,
    wire::{self, Member},
};

/// Where `encryptedContent` stands in an item; every text is a part of the item's own.
#[derive(Clone, Copy)]
pub struct Sealed<'a> {
    /// The member's name, with its quotes.
    pub name: &'a str,
    /// Its value.
    pub value: &'a str,
    /// It stands there twice, or what is to stand in its place once it is opened is there already.
    is_ambiguous: bool,
}

/// What an `encryptedContent` holds, still in base64. Its texts are parts of the item's, unless they hold escapes.
pub struct EncryptedContent<'a> {
    /// The resource, encrypted with the data key.
    pub data: Cow<'a, str>,
    /// The data key, encrypted with the public key of a certificate.
    pub data_key: Cow<'a, str>,
    /// HMAC of the decoded `data`.
    pub data_signature: Cow<'a, str>,
    /// `encryptionCertificateId`: the name that was given to the certificate with the subscription.
    pub certificate_id: Option<Cow<'a, str>>,
    /// `encryptionCertificateThumbprint`: SHA-1 of the certificate, hexadecimal.
    pub certificate_thumbprint: Option<Cow<'a, str>>,
}

/// The `validationTokens` of a POST.
#[derive(Clone, Default)]
pub struct ValidationTokens<'a>(Member<'a>);

/// What they turn out to be when they are read.
#[derive(Clone, Eq, PartialEq)]
pub enum TokenList<'a> {
    /// None, or null, or an empty list.
    Absent,
    /// No list of strings, two of them, or more than [`TOKENS_MAX`].
    Unreadable,
    /// At least one.
    Tokens(Vec<Cow<'a, str>>),
}

/// Graph sends one token for each pair of app and tenant in a POST. The bound is far above: what it costs to check so
/// many is about 20 ms.
pub const TOKENS_MAX: usize = 1_000;

impl<'a> Sealed<'a> {
    /// Of several values one that is not null is enough: there are parsers that take the first.
    pub(super) fn of(member: &Member<'a>, opened: &Member<'a>) -> Option<Self> {
        let (name, value) = (member.name?, member.raw?);
        let is_there = member.is_present() || member.earlier.iter().any(|value| *value != "null");
        let is_ambiguous = !member.earlier.is_empty() || opened.name.is_some();
        is_there.then_some(Self { name, value, is_ambiguous })
    }

    /// Takes it apart. `None` when something is missing or of the wrong type, or when it cannot be told which of several
    /// values is meant.
    pub fn read(&self) -> Option<EncryptedContent<'a>> {
        if self.is_ambiguous || !self.value.starts_with('{') {
            return None;
        }
        let content: wire::Content<'a> = wire::object_of(self.value)?;
        let wire::Content { data, data_key, data_signature, certificate_id, certificate_thumbprint } =
            &content;
        let members = [data, data_key, data_signature, certificate_id, certificate_thumbprint];
        if members.into_iter().any(Member::contradicts) {
            return None;
        }
        Some(EncryptedContent {
            data: data.words()?,
            data_key: data_key.words()?,
            data_signature: data_signature.words()?,
            certificate_id: certificate_id.words(),
            certificate_thumbprint: certificate_thumbprint.words(),
        })
    }
}

/// It may be long, and says nothing to people.
impl fmt::Debug for Sealed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sealed]")
    }
}

impl<'a> ValidationTokens<'a> {
    pub(super) fn put(&mut self, name: Text<'a>, value: Text<'a>) {
        self.0.put(name, value);
    }

    /// Reads the list.
    pub fn read(&self) -> TokenList<'a> {
        if !self.0.earlier.is_empty() {
            return TokenList::Unreadable;
        }
        let Some(raw) = self.0.raw.filter(|_| self.0.is_present()) else { return TokenList::Absent };
        match wire::strings(raw, TOKENS_MAX) {
            None => TokenList::Unreadable,
            Some(tokens) if tokens.is_empty() => TokenList::Absent,
            Some(tokens) => TokenList::Tokens(tokens),
        }
    }
}

/// Tokens are bearer tokens.
impl fmt::Debug for ValidationTokens<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[tokens]")
    }
}

/// As above.
impl fmt::Debug for TokenList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Unreadable => f.write_str("unreadable"),
            Self::Tokens(tokens) => write!(f, "[{} tokens]", tokens.len()),
        }
    }
}

#[cfg(test)]
mod tests;
