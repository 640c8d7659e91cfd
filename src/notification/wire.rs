//! Reading JSON without changing it: members as the text they stand in, documents in one pass.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A member of an object: the raw text of its value, and of every value that stood there before.
#[derive(Clone, Debug, Default)]
pub(super) struct Member<'a> {
    /// The last name, with its quotes.
    pub(super) name: Option<&'a str>,
    /// The last value, which is what consumers' parsers will see.
    pub(super) raw: Option<&'a str>,
    /// Values of earlier members of the same name.
    pub(super) earlier: Vec<&'a str>,
}

impl<'a> Member<'a> {
    pub(super) fn put(&mut self, name: &'a str, raw: &'a str) {
        self.name = Some(name);
        self.earlier.extend(self.raw.replace(raw));
    }

    /// The value, if it is a string that Unicode can hold.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        self.raw.and_then(text)
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
fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
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

        impl<'de: 'a, 'a> Deserialize<'de> for $type<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_map(Collect(PhantomData))
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
    let mut cursor = Cursor::new(raw);
    cursor.expect(b'[').ok()?;
    let mut strings = Vec::new();
    if cursor.eat(b']') {
        return Some(strings);
    }
    loop {
        let (value, _) = cursor.value::<&RawValue>().ok()?;
        if strings.len() == max {
            return None;
        }
        strings.push(text(value.get())?);
        if cursor.eat(b']') {
            return Some(strings);
        }
        cursor.expect(b',').ok()?;
    }
}

/// Visits an object once; every name and value is borrowed as it stands.
struct Collect<T>(PhantomData<T>);

impl<'de: 'a, 'a, T: Keeps<'a>> Visitor<'de> for Collect<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut object = T::default();
        while let Some((name, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
            let member = text(name.get()).and_then(|name| object.member(canonical(&name)));
            if let Some(member) = member {
                member.put(name.get(), value.get());
            }
        }
        Ok(object)
    }
}

/// Of what needs a token, every spelling counts: there are parsers to which names are equal that differ in case only.
fn canonical(name: &str) -> &str {
    let known = ["encryptedContent", "decryptedContent"];
    known.into_iter().find(|known| known.eq_ignore_ascii_case(name)).unwrap_or(name)
}

/// The text is not JSON.
#[derive(Debug)]
pub(super) struct NotJson;

/// A place in a JSON text, moved forward value by value.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// The next byte that is not white space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.rest.as_bytes().first().copied()
    }

    /// Passes over `byte` if it comes next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let comes = self.peek() == Some(byte);
        if comes {
            self.rest = &self.rest[1..];
        }
        comes
    }

    /// Passes over a punctuation mark that must come next.
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.eat(byte) { Ok(()) } else { Err(NotJson) }
    }

    /// Reads one value, and the text it stands in.
    pub(super) fn value<T: Deserialize<'a>>(&mut self) -> Result<(T, &'a str), NotJson> {
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<T>();
        let value = values.next().ok_or(NotJson)?.map_err(|_| NotJson)?;
        let (raw, rest) = self.rest.split_at(values.byte_offset());
        self.rest = rest;
        Ok((value, raw))
    }

    /// Reads the name of a member and the colon after it: the name, `None` if Unicode cannot hold it, and the text it
    /// stands in.
    pub(super) fn name(&mut self) -> Result<(Option<Cow<'a, str>>, &'a str), NotJson> {
        if self.peek() != Some(b'"') {
            return Err(NotJson);
        }
        let (raw, _) = self.value::<&RawValue>()?;
        self.expect(b':')?;
        Ok((text(raw.get()), raw.get()))
    }
}

/// Whether brackets and braces nest deeper than `limit`.
pub(super) fn nests_deeper(text: &str, limit: usize) -> bool {
    // Counting is far quicker than following strings, and most texts have fewer brackets than the limit.
    // So many bytes at a time as a byte can count: then the compiler counts many in one step.
    let opens = |bytes: &[u8]| bytes.iter().map(|byte| u8::from(matches!(byte, b'[' | b'{'))).sum::<u8>();
    let opens: usize = text.as_bytes().chunks(255).map(|bytes| usize::from(opens(bytes))).sum();
    opens > limit && depth(text) > limit
}

fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
