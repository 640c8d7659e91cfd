//! The list of all subscriptions, page by page.

use bytes::Bytes;
use hyper::{Method, Uri};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    Inner, base,
    call::{self, Answered, Asked, SUBSCRIPTIONS},
    error::GraphError,
    operation::Operation,
    subscription::Subscription,
};

#[derive(Deserialize)]
struct Page {
    value: Vec<Listed>,
    /// The whole URL of the next one, with a token that is Graph's business.
    #[serde(default, rename = "@odata.nextLink")]
    next: Option<String>,
}

/// One that cannot be read, with an end in year 1 perhaps, is somebody else's business: it keeps nobody from renewing his
/// own. One of ours that is lacking is asked for by its id.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    Known(Box<Subscription>),
    Odd(IgnoredAny),
}

/// Every page, or an error: who takes half a list for the whole creates the other half again.
pub(super) async fn list(graph: &Inner) -> Result<Vec<Subscription>, GraphError> {
    let mut all = Vec::new();
    let mut url = graph.subscriptions();
    for _ in 0..PAGES_MAX {
        let asked = Asked::of(Operation::List, Method::GET, url);
        let answered = call::insist(graph, &asked).await?;
        let page = read(&answered)?;
        all.extend(page.value.into_iter().filter_map(|listed| match listed {
            Listed::Known(subscription) => Some(*subscription),
            Listed::Odd(_) => None,
        }));
        if all.len() > SUBSCRIPTIONS_MAX {
            return Err(unusable("there are too many subscriptions", &answered));
        }
        let Some(next) = page.next else { return Ok(all) };
        if !leads_on(&next, &graph.base) {
            return Err(unusable("the link to the next page leads elsewhere", &answered));
        }
        url = next;
    }
    Err(GraphError::Answer { what: "its list has no end", ids: Default::default() })
}

fn read(answered: &Answered) -> Result<Page, GraphError> {
    let body: &Bytes = &answered.body;
    serde_json::from_slice(body).map_err(|_| unusable("its body is no list of subscriptions", answered))
}

fn unusable(what: &'static str, answered: &Answered) -> GraphError {
    GraphError::Answer { what, ids: answered.ids.clone() }
}

/// Whether a link stays where our token belongs: the same scheme, host and port, and the list.
fn leads_on(next: &str, at: &str) -> bool {
    next.parse::<Uri>().is_ok_and(|url| {
        url.scheme().is_some()
            && url.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && base(&url).eq_ignore_ascii_case(at)
            && url.path() == SUBSCRIPTIONS
    })
}

/// Of one page; a subscription takes about 1 KiB, with a certificate 4 KiB.
pub(super) const PAGE_BYTES_MAX: usize = 4 << 20;
/// Graph allows 25 of them in 20 s.
const PAGES_MAX: usize = 500;
/// Five times what an organization may have of Teams.
const SUBSCRIPTIONS_MAX: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_cannot_be_read_does_not_hide_the_others() {
        let good = r#"{"id":"1","resource":"/users","changeType":"updated","notificationUrl":"https://a.example/",
            "expirationDateTime":"2026-10-01T11:00:00Z"}"#;
        let odd_end = good.replace("2026-10-01", "0001-01-01");
        let odd_id = good.replace(r#""id":"1""#, r#""id":"../1""#);
        let page = format!(r#"{{"value":[{odd_end},{good},{odd_id},7]}}"#);
        let page: Page = serde_json::from_str(&page).expect("a page");
        let known = page.value.iter().filter(|listed| matches!(listed, Listed::Known(_)));
        assert_eq!((known.count(), page.value.len()), (1, 4));
    }

    #[test]
    fn links_are_followed_to_the_same_list_only() {
        let graph = "https://graph.microsoft.com";
        for (link, expected) in [
            ("https://graph.microsoft.com/v1.0/subscriptions?$skiptoken=RFNwdAIAAQAAAA", true),
            ("https://GRAPH.microsoft.com/v1.0/subscriptions?$skiptoken=a", true),
            ("https://graph.microsoft.com/v1.0/subscriptions", true),
            ("http://graph.microsoft.com/v1.0/subscriptions?$skiptoken=a", false),
            ("https://graph.microsoft.com:8443/v1.0/subscriptions?$skiptoken=a", false),
            ("https://graph.microsoft.com.evil.example/v1.0/subscriptions", false),
            ("https://graph.microsoft.com@evil.example/v1.0/subscriptions", false),
            ("https://user@graph.microsoft.com/v1.0/subscriptions", false),
            ("https://evil.example/v1.0/subscriptions", false),
            ("https://graph.microsoft.com/v1.0/users", false),
            ("https://graph.microsoft.com/beta/subscriptions", false),
            ("https://graph.microsoft.com/v1.0/subscriptions/../users", false),
            ("//graph.microsoft.com/v1.0/subscriptions", false),
            ("/v1.0/subscriptions?$skiptoken=a", false),
            ("", false),
            ("https://graph.microsoft.com/v1.0/subscriptions?a b", false),
        ] {
            assert_eq!(leads_on(link, graph), expected, "{link}");
        }
    }
}
