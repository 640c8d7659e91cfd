//! Reading JSON without changing it: members as the text they stand in, documents in one pass.

use std::borrow::Cow;

use super::json::{ARRAY, NotJson, OBJECT, Place, Text};

/// A member of an object: the raw text of its value, and of every value that stood there before.
#[derive(Clone, Debug, Default)]
pub(super) struct Member<'a> {
    /// The last name, with its quotes.
    pub(super) name: Option<&'a str>,
    /// The last value, which is what consumers' parsers will see.
    pub(super) raw: Option<&'a str>,
    /// It is a string, and what is between its quotes means itself.
    is_plain: bool,
    /// Values of earlier members of the same name.
    pub(super) earlier: Vec<&'a str>,
}

impl<'a> Member<'a> {
    pub(super) fn put(&mut self, name: Text<'a>, value: Text<'a>) {
        self.name = Some(name.raw);
        self.earlier.extend(self.raw.replace(value.raw));
        self.is_plain = value.is_plain;
    }

    /// The value, if it is a string that Unicode can hold.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        let text = |raw| Text { raw, is_plain: self.is_plain };
        self.raw.map(text).and_then(decoded)
    }

    /// The value, if it is a string that says something.
    pub(super) fn words(&self) -> Option<Cow<'a, str>> {
        self.text().filter(|text| !text.is_empty())
    }

    /// Whether there is a value other than `null`.
    pub(super) fn is_present(&self) -> bool {
        self.raw.is_some_and(|raw| raw != "null")
    }

    /// Whether the member stands there more than once, and not always with one value.
    pub(super) fn contradicts(&self) -> bool {
        let differs =
            |raw: &&str| Some(*raw) != self.raw && (text(raw).is_none() || text(raw) != self.text());
        self.earlier.iter().any(differs)
    }
}

/// Decodes a JSON string; `None` for anything else and for lone surrogates. Borrows unless there are escapes.
pub(super) fn decoded(text: Text<'_>) -> Option<Cow<'_, str>> {
    if text.is_plain {
        return text.raw.get(1..text.raw.len() - 1).map(Cow::Borrowed);
    }
    if text.raw.starts_with('"') { serde_json::from_str(text.raw).ok().map(Cow::Owned) } else { None }
}

/// The same for a text of which nothing else is known.
fn text(raw: &str) -> Option<Cow<'_, str>> {
    Place::new(raw).value().ok().and_then(decoded)
}

/// An object that keeps some of its members: those that its type asks for.
pub(super) trait Keeps<'a>: Default {
    /// The member of this name, if it is kept.
    fn member(&mut self, name: &str) -> Option<&mut Member<'a>>;
}

/// Lists the kept members of an object type, with the names that Graph gives them.
macro_rules! keeps {
    ($type:ident { $($field:ident: $name:literal),* $(,)? }) => {
        #[derive(Clone, Debug, Default)]
        pub(super) struct $type<'a> { $(pub(super) $field: Member<'a>),* }

        impl<'a> Keeps<'a> for $type<'a> {
            fn member(&mut self, name: &str) -> Option<&mut Member<'a>> {
                match name { $($name => Some(&mut self.$field),)* _ => None }
            }
        }

    };
}

keeps!(Item {
    id: "id",
    subscription_id: "subscriptionId",
    subscription_end: "subscriptionExpirationDateTime",
    tenant_id: "tenantId",
    organization_id: "organizationId",
    client_state: "clientState",
    change_type: "changeType",
    lifecycle_event: "lifecycleEvent",
    resource: "resource",
    resource_data: "resourceData",
    encrypted_content: "encryptedContent",
    decrypted_content: "decryptedContent",
});

keeps!(ResourceData {
    odata_type: "@odata.type",
    odata_etag: "@odata.etag",
    sequence_number: "sequenceNumber",
    event_time: "eventTime",
    organization_id: "organizationId",
});

keeps!(Content {
    data: "data",
    data_key: "dataKey",
    data_signature: "dataSignature",
    certificate_id: "encryptionCertificateId",
    certificate_thumbprint: "encryptionCertificateThumbprint",
});

/// Reads an array of at most `max` strings that Unicode can hold; `None` for anything else.
pub(super) fn strings(raw: &str, max: usize) -> Option<Vec<Cow<'_, str>>> {
    let mut strings = Vec::new();
    let all = Place::new(raw).each(ARRAY, |place| {
        if strings.len() == max {
            return Err(NotJson);
        }
        strings.push(decoded(place.value()?).ok_or(NotJson)?);
        Ok(())
    });
    all.is_ok().then_some(strings)
}

/// Reads an object once, and keeps the members that its type asks for; every name and value as it stands there.
pub(super) fn object<'a, T: Keeps<'a>>(place: &mut Place<'a>) -> Result<T, NotJson> {
    object_by(place, |_, place| place.value())
}

/// The same, with values that are read by their names.
pub(super) fn object_by<'a, T: Keeps<'a>>(
    place: &mut Place<'a>,
    mut value: impl FnMut(&str, &mut Place<'a>) -> Result<Text<'a>, NotJson>,
) -> Result<T, NotJson> {
    let mut object = T::default();
    place.each(OBJECT, |place| {
        let name = place.name()?;
        // A name that Unicode cannot hold is none of those.
        let Some(known) = decoded(name) else { return place.value().map(drop) };
        let known = canonical(&known);
        let value = value(known, place)?;
        if let Some(member) = object.member(known) {
            member.put(name, value);
        }
        Ok(())
    })?;
    Ok(object)
}

/// The same for the text of an object.
pub(super) fn object_of<'a, T: Keeps<'a>>(raw: &'a str) -> Option<T> {
    object(&mut Place::new(raw)).ok()
}

/// Of what needs a token, every spelling counts: there are parsers to which names are equal that differ in case only.
fn canonical(name: &str) -> &str {
    const KNOWN: [&str; 2] = ["encryptedContent", "decryptedContent"];
    // Nearly all names are of another length.
    if name.len() != KNOWN[0].len() {
        return name;
    }
    KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(name)).unwrap_or(name)
}
