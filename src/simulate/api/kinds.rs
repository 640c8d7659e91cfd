//! What can be subscribed to, by the service's own table: lifetimes, change types, resource data ("subscription resource
//! type", <https://learn.microsoft.com/graph/api/resources/subscription>, September 2026, and "Set up change notifications
//! that include resource data", April 2026). Pure.

mod table;

use self::table::KINDS;

/// A kind of resource.
#[derive(Debug)]
pub(super) struct Kind {
    /// `@odata.type` of its items.
    pub(super) odata_type: &'static str,
    /// Longest life of a subscription, in minutes.
    pub(super) minutes_max: u64,
    /// The same with resource data, if it can be had.
    pub(super) data_minutes_max: Option<u64>,
    /// Whose service it is.
    pub(super) workload: Workload,
    /// The change types there are; all three where no page says it.
    pub(super) changes: &'static [&'static str],
    paths: &'static [&'static str],
}

/// The service behind it, which has its own words and its own conditions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Workload {
    /// Mail, calendar, contacts.
    Outlook,
    /// Teams, and Copilot, which is like it here.
    Teams,
    /// Users and groups.
    Directory,
    /// Files and lists.
    Files,
    /// All others.
    Other,
}

impl Workload {
    /// As the service calls it when it cannot give resource data.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Outlook => "Exchange",
            Self::Teams => "Microsoft Teams",
            Self::Directory => "Azure Active Directory",
            Self::Files => "File Services",
            Self::Other => "This",
        }
    }
}

/// The kind of a subscription's `resource`; `None` if nothing can be subscribed to there.
pub(super) fn of(resource: &str) -> Option<&'static Kind> {
    let segments = segments(resource);
    KINDS.iter().find(|kind| kind.paths.iter().any(|path| fits(path, &segments)))
}

/// The same path in the same words: without query and outer slashes, in lower case; keys in brackets become segments,
/// and `me` is a user.
fn segments(resource: &str) -> Vec<String> {
    let path = resource.split('?').next().unwrap_or_default().trim_matches('/').to_ascii_lowercase();
    let mut segments = Vec::new();
    for segment in split(&path) {
        match segment.split_once('(') {
            Some((name, key)) if !name.is_empty() => {
                segments.push(name.to_owned());
                let key = key.trim_end_matches(')');
                if !key.is_empty() {
                    segments.push(key.to_owned());
                }
            }
            Some(_) | None => segments.push(segment.to_owned()),
        }
    }
    if segments.first().is_some_and(|first| first == "me") {
        segments.insert(0, "users".to_owned());
    }
    segments
}

/// At the slashes that stand outside brackets.
fn split(path: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    path.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == '/' && depth == 0
    })
    .collect()
}

fn fits(path: &str, segments: &[String]) -> bool {
    let mut count = 0;
    let all_fit = path.split('/').all(|wanted| {
        let segment = segments.get(count);
        count += 1;
        segment.is_some_and(|segment| if wanted == "*" { !segment.is_empty() } else { segment == wanted })
    });
    all_fit && count == segments.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_kind_however_it_is_written() {
        for (resource, odata_type) in [
            ("/users/a/messages", Some("Message")),
            ("me/mailFolders('inbox')/messages", Some("Message")),
            ("/Users('a')/MailFolders('Inbox')/Messages?$select=subject", Some("Message")),
            ("/me/events", Some("Event")),
            ("/users", Some("User")),
            ("users/a", Some("User")),
            ("/groups/a/members", Some("Group")),
            ("/drives/b!x/root", Some("driveItem")),
            ("/me/drive/root", Some("driveItem")),
            ("/teams/getAllMessages", Some("chatMessage")),
            ("/chats/getAllMessages", Some("chatMessage")),
            ("/chats/19:a@unq.gbl.spaces", Some("chat")),
            ("/teams/getAllChannels", Some("channel")),
            ("/teams/a", Some("team")),
            ("/communications/presences?$filter=id in ('a')", Some("presence")),
            (
                "communications/onlineMeetings(joinWebUrl='https://a/b/c')/meetingCallEvents",
                Some("callEvent"),
            ),
            ("/communications/onlineMeetings/getAllTranscripts()", Some("callTranscript")),
            ("/me/todo/lists/a/tasks", Some("todoTask")),
            ("/me/drive/items/a", None),
            ("/nothing", None),
            ("users//messages", None),
            ("", None),
        ] {
            let found = of(resource).and_then(|kind| kind.odata_type.rsplit('.').next());
            assert_eq!(found, odata_type, "{resource}");
        }
    }
}
