//! Of whom and of what items tell, in turn: subscriptions, tenants, resources, kinds of change.

use std::time::SystemTime;

use super::{
    members::Members,
    template::{Facts, Template, fresh_id},
};
use crate::secret::Secret;

/// What items are made of. No list is empty.
#[derive(Clone, Debug)]
pub struct Cast {
    /// Resources.
    pub kinds: Vec<Kind>,
    /// `changeType` or `lifecycleEvent`.
    pub changes: Vec<String>,
    /// Tenants.
    pub tenants: Vec<String>,
    /// Subscriptions.
    pub subscriptions: Vec<String>,
    /// The user whose things change.
    pub user: String,
    /// What items present.
    pub client_state: Option<Secret>,
    /// What their `id` is.
    pub ids: Ids,
    /// How long an item is at least.
    pub bytes_min: usize,
}

/// A resource that can change.
#[derive(Clone, Debug)]
pub struct Kind {
    /// What it is called here.
    pub name: String,
    /// Its items.
    pub template: Template,
}

/// `id` of items.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ids {
    /// A new one for each.
    Fresh,
    /// This one for all: one and the same notification, sent again.
    Always(String),
    /// None, as some services send it.
    None,
}

impl Kind {
    /// A built-in one.
    pub fn named(name: &str) -> Option<Self> {
        Template::named(name).map(|template| Self { name: name.to_owned(), template })
    }
}

impl Cast {
    /// What the item of this number tells, its numbers from 0. A subscription has one tenant and one resource as long as
    /// there are no fewer subscriptions than those.
    pub fn tell<T>(&self, number: u64, then: impl FnOnce(&Kind, &Facts<'_>) -> T) -> T {
        let lists = [self.subscriptions.len(), self.tenants.len(), self.kinds.len()];
        let round = lists.into_iter().max().unwrap_or(1) as u64;
        let actor = number % round;
        let id = match &self.ids {
            Ids::Always(id) => id.clone(),
            Ids::Fresh | Ids::None => fresh_id(),
        };
        let facts = Facts {
            id: &id,
            subscription: turn::<String>(&self.subscriptions, actor),
            tenant: turn::<String>(&self.tenants, actor),
            user: &self.user,
            client_state: self.client_state.as_ref().map(Secret::expose),
            change: turn::<String>(&self.changes, number / round),
            now: SystemTime::now(),
            number: number + 1,
        };
        then(turn(&self.kinds, actor), &facts)
    }

    /// The item of this number.
    pub fn item(&self, number: u64) -> String {
        self.tell(number, |kind, facts| self.dress(kind.template.fill(facts)))
    }

    /// An item as it is sent: without an id, or longer, if it shall be so.
    pub fn dress(&self, item: String) -> String {
        // The comma, the name in quotes, a colon, two quotes.
        let missing = self.bytes_min.saturating_sub(item.len() + PADDING.len() + 6);
        if self.ids != Ids::None && missing == 0 {
            return item;
        }
        let Some(mut members) = Members::read(&item) else { return item };
        if self.ids == Ids::None {
            members.remove("id");
        }
        let missing = self.bytes_min.saturating_sub(members.write().len() + PADDING.len() + 6);
        if missing > 0 {
            members.push(PADDING, format!("\"{}\"", "x".repeat(missing)));
        }
        members.write()
    }
}

fn turn<T>(list: &[T], number: u64) -> &T {
    &list[usize::try_from(number).unwrap_or_default() % list.len()]
}

/// A member that nobody knows.
const PADDING: &str = "padding";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{
        run::{subscriptions, tenants},
        template::USER,
    };

    fn cast() -> Cast {
        Cast {
            kinds: ["message", "event"].map(|name| Kind::named(name).expect(name)).into(),
            changes: vec!["created".to_owned(), "deleted".to_owned()],
            tenants: tenants(2),
            subscriptions: subscriptions(4),
            user: USER.to_owned(),
            client_state: None,
            ids: Ids::Fresh,
            bytes_min: 0,
        }
    }

    fn read(item: &str) -> serde_json::Value {
        serde_json::from_str(item).expect("JSON")
    }

    #[test]
    fn each_subscription_has_one_tenant_and_one_resource() {
        let cast = cast();
        let told = |number| {
            cast.tell(number, |kind, facts| {
                [kind.name.as_str(), facts.subscription, facts.tenant, facts.change].map(str::to_owned)
            })
        };
        for number in 0..4 {
            assert_eq!(told(number)[..3], told(number + 4)[..3]);
            assert_eq!((told(number)[3].as_str(), told(number + 4)[3].as_str()), ("created", "deleted"));
            assert_eq!(told(number), told(number + 8));
        }
        assert_ne!(told(0)[1..3], told(1)[1..3]);
    }

    #[test]
    fn items_are_as_long_as_they_shall_be() {
        let small = Cast { bytes_min: 100, ..cast() }.item(0);
        assert!(small.len() > 100 && !small.contains("padding"), "{small}");
        for bytes_min in [1_500, 10_000] {
            for ids in [Ids::Fresh, Ids::None, Ids::Always("a".to_owned())] {
                let item = Cast { bytes_min, ids: ids.clone(), ..cast() }.item(0);
                assert_eq!(item.len(), bytes_min, "{ids:?}");
                let id = read(&item)["id"].as_str().map(str::to_owned);
                match ids {
                    Ids::Fresh => assert!(id.is_some_and(|id| id.len() == 36)),
                    Ids::None => assert_eq!(id, None),
                    Ids::Always(always) => assert_eq!(id, Some(always)),
                }
            }
        }
    }
}
