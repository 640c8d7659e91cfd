//! How many items carried the clientState. It is all that can be known here: a 2xx does not say whom a receiver believed.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::secret::Secret;

/// Items that were sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Carried {
    /// With the clientState that was given.
    pub with_client_state: u64,
    /// With another, or with none.
    pub without_client_state: u64,
}

#[derive(Deserialize)]
struct Collection {
    value: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "clientState")]
    client_state: Option<String>,
}

impl Carried {
    /// Counts the items of a body; one that is no collection has none.
    pub fn add(&mut self, body: &[u8], client_state: Option<&Secret>) {
        let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
        let Ok(Collection { value }) = serde_json::from_slice(body) else { return };
        let carries = |item: &RawValue| {
            let said = serde_json::from_str::<Item>(item.get()).ok().and_then(|item| item.client_state);
            said.is_some() && said.as_deref() == client_state.map(Secret::expose)
        };
        let with = value.iter().filter(|item| carries(item)).count();
        self.with_client_state += with as u64;
        self.without_client_state += (value.len() - with) as u64;
    }

    /// Whether nothing was sent that could be believed or not.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { with_client_state: with, without_client_state: without } = self;
        let s = |many: u64| if many == 1 { "" } else { "s" };
        if *with == 0 {
            return write!(
                f,
                "{without} item{}, none with the clientState: a 2xx does not say which of them the receiver believed",
                s(*without)
            );
        }
        write!(
            f,
            "{with} item{} carried the clientState, {without} did not: a 2xx does not say which of them the \
             receiver believed; with a wrong --client-state all of this passes, too",
            s(*with)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_counted_by_what_they_carry() {
        let secret = Secret::new("s".to_owned());
        let mut carried = Carried::default();
        for body in [
            r#"{"value":[{"clientState":"s"},{"clientState":"t"},{"clientState":null},{},null,{"clientState":1}]}"#,
            "\u{feff}{\"value\":[{\"clientState\":\"\\u0073\"}]}\n",
            "[",
            "{}",
            "",
        ] {
            carried.add(body.as_bytes(), Some(&secret));
        }
        assert_eq!(carried, Carried { with_client_state: 2, without_client_state: 5 });
        assert!(carried.to_string().starts_with("2 items carried the clientState, 5 did not: "), "{carried}");

        let mut carried = Carried::default();
        assert!(carried.is_none());
        carried.add(br#"{"value":[{"clientState":null}]}"#, None);
        assert!(carried.to_string().starts_with("1 item, none with the clientState: "), "{carried}");
    }
}
