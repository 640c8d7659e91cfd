//! What is sent: every notification of a run, made from its number alone, so that it need not be kept to be sent again.

use std::time::SystemTime;

use bytes::Bytes;
use uuid::{Builder, Uuid};

use super::{
    draw::{Draw, Seed},
    scenario::Scenario,
};
use crate::{
    secret::Secret,
    simulate::{
        members::{Members, quoted},
        template::{Facts, SAMPLE, Template, USER},
    },
};

/// Makes the notifications of one run.
#[derive(Debug)]
pub struct Stock {
    scenario: Scenario,
    client_state: Option<Secret>,
    /// The first eleven bytes of every id of this run.
    mark: [u8; MARK],
}

impl Stock {
    /// A new run; without a secret notifications have no `clientState`.
    pub fn new(scenario: Scenario, client_state: Option<Secret>) -> Self {
        let fresh = Uuid::now_v7();
        let (head, tail) = (fresh.as_bytes(), &fresh.as_bytes()[13..]);
        let mut mark = [0; MARK];
        mark[..8].copy_from_slice(&head[..8]);
        mark[8..].copy_from_slice(tail);
        // As in every id, so that both can be compared.
        let id = Builder::from_custom_bytes(whole(mark, 0)).into_uuid();
        mark.copy_from_slice(&id.as_bytes()[..MARK]);
        Self { scenario, client_state, mark }
    }

    /// What is played.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Whether genuine notifications present a secret.
    pub fn has_secret(&self) -> bool {
        self.client_state.is_some()
    }

    /// The id of a notification.
    pub fn id(&self, number: u64) -> Uuid {
        Uuid::from_bytes(whole(self.mark, number))
    }

    /// The number of the notification with this id, if it is of this run.
    pub fn number(&self, id: &str) -> Option<u64> {
        let id = Uuid::parse_str(id).ok()?;
        let (mark, number) = id.as_bytes().split_at(MARK);
        (mark == self.mark).then(|| number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Whether a notification has a wrong secret.
    pub fn is_forged(&self, number: u64) -> bool {
        let share = self.scenario.faults.forged;
        share > 0.0 && self.seed().chance(Draw::Forged, number) < share
    }

    /// How many of these are forged.
    pub fn forged_in(&self, first: u64, items: u32) -> u32 {
        if self.scenario.faults.forged == 0.0 {
            return 0;
        }
        (first..first + u64::from(items)).filter(|number| self.is_forged(*number)).count() as u32
    }

    /// Whether each of its notifications says its id, so that it is known again where it arrives.
    pub fn is_known_again(&self) -> bool {
        self.scenario.templates.all().all(|template| {
            let item = template.fill(&Facts { id: KNOWN, client_state: None, ..SAMPLE });
            Members::read(&item).is_some_and(|members| members.get("id") == Some(&quoted(KNOWN)))
        })
    }

    /// The body of a POST with these notifications, of changes at this moment.
    pub fn body(&self, first: u64, items: u32, moment: SystemTime) -> Bytes {
        let mut body = String::new();
        self.write(first, items, moment, &mut body);
        body.into()
    }

    /// Adds that body to what is there.
    pub(super) fn write(&self, first: u64, items: u32, moment: SystemTime, body: &mut String) {
        let each = self.scenario.size.unwrap_or_default().max(LIKELY);
        body.reserve(items as usize * each + 16);
        body.push_str(r#"{"value":["#);
        for number in first..first + u64::from(items) {
            if number > first {
                body.push(',');
            }
            self.put(number, moment, body);
        }
        body.push_str("]}");
    }

    fn put(&self, number: u64, moment: SystemTime, body: &mut String) {
        let (scenario, seed) = (&self.scenario, self.seed());
        let place = |draw, length: usize| seed.below(draw, number, length as u64) as usize;
        let subscription = place(Draw::Subscription, scenario.subscriptions.len());
        let forged = self.is_forged(number).then(|| self.wrong(number));
        let mut buffer = Uuid::encode_buffer();
        let facts = Facts {
            id: self.id(number).hyphenated().encode_lower(&mut buffer),
            subscription: &scenario.subscriptions[subscription],
            tenant: &scenario.tenants[subscription % scenario.tenants.len()],
            user: USER,
            client_state: forged.as_deref().or_else(|| self.client_state.as_ref().map(Secret::expose)),
            change: &scenario.changes[place(Draw::Change, scenario.changes.len())],
            now: moment,
            number,
        };
        let template: &Template = scenario.templates.pick(seed.chance(Draw::Template, number));
        let begin = body.len();
        template.fill_into(&facts, body);
        if let Some(size) = scenario.size {
            pad(body, begin, size);
        }
    }

    /// A secret that is not the receiver's, as long as those that people make.
    fn wrong(&self, number: u64) -> String {
        let wrong = format!("forged-{}", self.id(number).simple());
        match &self.client_state {
            Some(right) if right.expose() == wrong => wrong + "-",
            Some(_) | None => wrong,
        }
    }

    fn seed(&self) -> Seed {
        self.scenario.seed
    }
}

/// How long an item of this scenario can become.
pub(super) fn longest(scenario: &Scenario) -> usize {
    let widest = |texts: &[String]| texts.iter().max_by_key(|text| text.len()).cloned().unwrap_or_default();
    let (subscription, tenant) = (widest(&scenario.subscriptions), widest(&scenario.tenants));
    let change = widest(&scenario.changes);
    let facts = Facts {
        subscription: &subscription,
        tenant: &tenant,
        change: &change,
        client_state: Some(KNOWN),
        number: u64::MAX,
        ..SAMPLE
    };
    let filled = scenario.templates.all().map(|template| template.fill(&facts).len());
    filled.max().unwrap_or_default().max(scenario.size.unwrap_or_default())
}

/// Makes the object that begins there as long as it shall be, if that is longer than it is.
fn pad(body: &mut String, begin: usize, size: usize) {
    const EMPTY: &str = r#","padding":""}"#;
    let length = body.len() - begin + EMPTY.len() - 1;
    if length < size && body.ends_with('}') {
        body.pop();
        body.push_str(&EMPTY[..EMPTY.len() - 2]);
        let mut left = size - length;
        while left > 0 {
            let piece = left.min(PADDING.len());
            body.push_str(&PADDING[..piece]);
            left -= piece;
        }
        body.push_str("\"}");
    }
}

fn whole(mark: [u8; MARK], number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..MARK].copy_from_slice(&mark);
    bytes[MARK..].copy_from_slice(&number.to_be_bytes()[3..]);
    bytes
}

/// Five bytes are left for the number of a notification.
const MARK: usize = 11;
/// An id that nothing else is.
const KNOWN: &str = "01234567-89ab-4cde-8f01-23456789abcd";
/// Far quicker to take pieces of than letters.
const PADDING: &str = match str::from_utf8(&[b'x'; 1024]) {
    Ok(padding) => padding,
    Err(_) => unreachable!(),
};
/// Bytes of a usual item.
const LIKELY: usize = 800;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::simulate::run::scenario::{Extent, Pace};

    fn stock(change: impl FnOnce(&mut Scenario)) -> Stock {
        let mut scenario = Scenario::new(Pace::FlatOut, Extent::Count(1));
        change(&mut scenario);
        Stock::new(scenario, Some(Secret::new("right".to_owned())))
    }

    fn items(stock: &Stock, first: u64, items: u32) -> Vec<Value> {
        let body = stock.body(first, items, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        body["value"].as_array().expect("an array").clone()
    }

    #[test]
    fn ids_tell_their_run_and_their_number() {
        let (one, other) = (stock(|_| ()), stock(|_| ()));
        for number in [0, 1, 49_999_999, (1 << 40) - 1] {
            let id = one.id(number).to_string();
            assert_eq!(one.number(&id), Some(number));
            assert_eq!(other.number(&id), None);
            assert_eq!(Uuid::parse_str(&id).map(|id| id.get_version_num()), Ok(8));
        }
        assert_eq!(one.number("no id"), None);
        assert_eq!(items(&one, 5, 2)[1]["id"], one.id(6).to_string());
    }

    #[test]
    fn a_run_is_the_same_again_but_for_its_ids() {
        let drawn = |seed: u64| {
            let stock = stock(|scenario| {
                scenario.seed = Seed(seed);
                scenario.faults.forged = 0.3;
                scenario.changes = ["created", "updated"].map(str::to_owned).into();
                scenario.tenants = crate::simulate::run::scenario::tenants(3);
            });
            let told = ["subscriptionId", "tenantId", "changeType"];
            let items = items(&stock, 0, 50);
            let forged = items.iter().filter(|item| item["clientState"] != "right").count();
            assert_eq!(forged, stock.forged_in(0, 50) as usize);
            assert!((5..30).contains(&forged), "{forged}");
            items.iter().map(|item| told.map(|name| item[name].to_string())).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }

    #[test]
    fn what_is_short_is_made_longer() {
        for size in [1, 700, 2_000] {
            let padded = stock(|scenario| scenario.size = Some(size));
            let body = padded.body(0, 1, SystemTime::UNIX_EPOCH);
            let item = body.len() - r#"{"value":[]}"#.len();
            let plain = stock(|_| ()).body(0, 1, SystemTime::UNIX_EPOCH).len() - r#"{"value":[]}"#.len();
            assert_eq!(item, if size > plain + 15 { size } else { plain });
            assert_eq!(items(&padded, 0, 1).len(), 1);
        }
    }
}
