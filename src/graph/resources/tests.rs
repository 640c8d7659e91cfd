//! Every row of the table is found by its paths, in all the forms that people write.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::config::ChangeType::{Created, Deleted, Updated};

#[test]
fn every_path_is_known() {
    for (name, paths) in [
        (
            "message",
            &[
                "/users/{id}/messages",
                "users/a@contoso.com/messages",
                "/users/{id}/mailFolders('inbox')/messages",
                "/me/mailFolders('Inbox')/messages",
                "/me/messages",
                "/users/{id}/mailFolders/AAMk=/messages",
                "/Users/{id}/MailFolders('inbox')/Messages?$select=subject,from&$filter=isRead eq false",
                "/users('a@contoso.com')/messages",
                "/users/{id}/mailFolders('it''s / mine?')/messages",
                "/users/{id}/mailFolders/{id}/childFolders/{id}/messages",
            ][..],
        ),
        ("event", &["/users/{id}/events", "me/events?$select=subject", "/users/{id}/calendars/{id}/events"]),
        ("contact", &["/users/{id}/contacts", "/me/contactFolders/{id}/contacts"]),
        ("user", &["/users", "Users", "/users/{id}", "users('{id}')", "/users?$select=displayName", "/me"]),
        ("group", &["/groups", "/groups/{id}", "/groups/{id}/members", "groups/{id}/owners"]),
        ("conversation", &["groups/{id}/conversations"]),
        (
            "driveItem",
            &[
                "/drives/{id}/root",
                "/users/{id}/drive/root",
                "/me/drive/root",
                "/drive/root",
                "/me/drive/items/{id}",
                "/drives/{id}/items/{id}",
                "/me/drive/root:/Documents/Sub",
                "/groups/{id}/drive/root",
                "/sites/{id}/drive/root",
            ],
        ),
        ("list", &["/sites/{id}/lists/{id}", "sites/contoso.sharepoint.com,a,b/lists/{id}"]),
        (
            "alert",
            &["/security/alerts/{id}", "/security/alerts/?$filter=vendorInformation/provider eq 'ASC'"],
        ),
        ("healthAlert", &["/reports/healthmonitoring/alerts", "/reports/healthMonitoring/alerts/{id}"]),
        ("callRecord", &["/communications/callRecords", "communications/callrecords/{id}"]),
        (
            "chatMessage",
            &[
                "/teams/{id}/channels/{id}/messages",
                "/teams('{id}')/channels('19:a@thread.tacv2')/messages",
                "/teams/{id}/channels/{id}/messages/{id}/replies",
                "/teams/getAllMessages",
                "/chats/{id}/messages",
                "/chats('19:a_b@unq.gbl.spaces')/messages('1')",
                "/chats/getAllMessages",
                "/users/{id}/chats/getAllMessages",
                "/users/{id}/chats/getAllMessages?notifyOnUserSpecificProperties=true",
                "/appCatalogs/teamsApps/{id}/installedToChats/getAllMessages",
            ],
        ),
        ("channel", &["/teams/getAllChannels", "/teams/{id}/channels"]),
        ("team", &["/teams", "/teams/{id}", "teams('{id}')"]),
        (
            "chat",
            &["/chats", "/chats/{id}", "/users/{id}/chats", "/appCatalogs/teamsApps/{id}/installedToChats"],
        ),
        (
            "conversationMember",
            &[
                "/teams/{id}/members",
                "/teams/{id}/channels/getAllMembers",
                "/teams/{id}/channels/{id}/members",
                "/chats/{id}/members",
                "/chats/getAllMembers",
            ],
        ),
        ("teamsAppInstallation", &["/appCatalogs/teamsApps/{id}/installations"]),
        (
            "onlineMeeting",
            &[
                "/communications/onlineMeetings(joinWebUrl='https://teams.microsoft.com/l/meetup-join/19:a/0?context=b')/meetingCallEvents",
                "communications/onlineMeetings(joinWebUrl='https%3A%2F%2Fteams')/meetingCallEvents",
            ],
        ),
        (
            "callRecording",
            &[
                "communications/onlineMeetings/getAllRecordings",
                "/communications/onlineMeetings/{id}/recordings",
                "users/{id}/onlineMeetings/getAllRecordings",
            ],
        ),
        (
            "callTranscript",
            &[
                "communications/onlineMeetings/getAllTranscripts",
                "communications/onlineMeetings/{id}/transcripts",
                "/users/{id}/onlineMeetings/getAllTranscripts",
            ],
        ),
        (
            "presence",
            &[
                "/communications/presences/{id}",
                "/communications/presences?$filter=id in ('a','b')",
                "communications/presences('{id}')",
            ],
        ),
        ("approvalItem", &["/solutions/approval/approvalItems"]),
        ("shift", &["/teams/{id}/schedule/shifts"]),
        ("openShiftChangeRequest", &["/teams/{id}/schedule/openShiftChangeRequests"]),
        ("offerShiftRequest", &["/teams/{id}/schedule/offerShiftRequests"]),
        ("swapShiftsChangeRequest", &["/teams/{id}/schedule/swapShiftsChangeRequests"]),
        ("timeOffRequest", &["/teams/{id}/schedule/timeOffRequests"]),
        (
            "aiInteraction",
            &[
                "copilot/users/{id}/interactionHistory/getAllEnterpriseInteractions",
                "/copilot/interactionHistory/getAllEnterpriseInteractions",
            ],
        ),
        (
            "aiInsight",
            &[
                "/copilot/users/{id}/onlineMeetings/getAllAiInsights",
                "/copilot/users/{id}/onlineMeetings/{meeting}/aiInsights",
            ],
        ),
        ("printJob", &["/print/printers/{id}/jobs"]),
        (
            "printTaskDefinition",
            &["/print/taskDefinitions/{id}/tasks", "print/printtaskdefinition/{id}/tasks"],
        ),
        ("todoTask", &["/me/todo/lists/{id}/tasks", "/users/{id}/todo/lists/{id}/tasks"]),
        (
            "virtualEvent",
            &["/solutions/virtualEvents/webinars/{id}", "/solutions/virtualEvents/townhalls/{id}"],
        ),
        ("baseTask", &["/me/tasks/lists/{id}/tasks"]),
    ] {
        for path in paths {
            assert_eq!(kind_of(path).map(|kind| kind.name), Some(name), "{path}");
        }
    }
}

#[test]
fn what_cannot_be_watched_is_not_known() {
    for path in [
        "",
        "/",
        "//",
        "?",
        "/unknown",
        "/me/photo",
        "/users/{id}/messages/{id}",
        "/users/{id}/mailFolders",
        "/sites/{id}",
        "/drives/{id}",
        "/teams/{id}/schedule",
        "/teams/{id}/schedule/dayNotes",
        "/print/printers/{id}",
        "/users('unclosed/messages",
        "/users(a/messages",
        "/users)/messages",
        "https://graph.microsoft.com/v1.0/users",
    ] {
        assert_eq!(kind_of(path).map(|kind| kind.name), None, "{path}");
    }
}

#[test]
fn every_row_is_found_by_its_example() {
    let mut names = HashSet::new();
    assert_eq!(KINDS.len(), 34);
    for kind in KINDS {
        assert!(names.insert(kind.name.to_ascii_lowercase()), "{} is there twice", kind.name);
        assert_eq!(kind_of(kind.example).map(|found| found.name), Some(kind.name), "{}", kind.example);
        assert!(kind.lifetime_max >= minutes(60), "{}", kind.name);
        assert!(kind.rich != Rich::No || kind.rich_lifetime_max.is_none(), "{}", kind.name);
        assert!(!kind.delegated_only || kind.application_permission.is_none(), "{}", kind.name);
    }
}

#[test]
fn a_little_less_than_the_maximum_is_asked_for() {
    for (resource, is_rich, expected) in [
        ("/me/messages", false, 10_000),
        ("/me/messages", true, 1_368),
        ("/users/{id}/events", true, 1_368),
        ("/users", false, 41_680),
        ("/drives/{id}/root", false, 42_220),
        ("/security/alerts", false, 43_120),
        ("/communications/callRecords", false, 4_150),
        ("/chats/{id}/messages", true, 4_240),
        ("/communications/presences/{id}", false, 57),
        ("/communications/presences/{id}", true, 57),
        ("/teams/{id}/schedule/shifts", false, 342),
        ("/of/tomorrow", false, 60),
    ] {
        assert_eq!(lifetime(resource, is_rich, &BTreeMap::new()), minutes(expected), "{resource}");
    }
    let overrides = BTreeMap::from([("DriveItem".to_owned(), minutes(4_230))]);
    assert_eq!(lifetime("/drives/{id}/root", false, &overrides), minutes(4_230));
    assert_eq!(lifetime("/users", false, &overrides), minutes(41_680));
}

#[test]
fn rows_are_as_graph_has_them() {
    let kind = |path| kind_of(path).expect("a row");
    assert_eq!(kind("/users").change_types, [Updated, Deleted]);
    assert_eq!(kind("/me/messages").change_types, [Created, Updated, Deleted]);
    assert_eq!(kind("/drives/{id}/root").change_types, [Updated]);
    assert_eq!(kind("/me/messages").rich, Rich::NeedsSelect);
    assert_eq!(kind("/chats/{id}/messages").rich, Rich::Yes);
    assert!(kind("/communications/presences/{id}").delegated_only);
    assert!(kind("/communications/presences/{id}").global_only);
    assert_eq!(kind("/teams").lifecycle_above, Some(minutes(60)));
    assert_eq!(kind("/users").lifecycle_above, None);
    assert_eq!(kind("/me/messages").application_permission, Some("Mail.Read"));
    assert_eq!(kind("/communications/callRecords").delegated_permission, None);
}

proptest! {
    /// Paths come from people and from Graph: whatever they hold, nothing panics, and a query changes no type.
    #[test]
    fn no_path_is_too_odd(path in "[/a-z'()?{}:é ]{0,40}", query in "[a-z$=',/ ]{0,20}") {
        let found = kind_of(&path).map(|kind| kind.name);
        if !path.contains(['\'', '(', ')', '?']) {
            let queried = format!("{}?{query}", path.trim_end());
            prop_assert_eq!(kind_of(&queried).map(|kind| kind.name), found, "{}", queried);
        }
    }

    #[test]
    fn ids_of_any_form_are_passed_over(id in "[A-Za-z0-9@.!=_-]{1,60}") {
        prop_assert_eq!(kind_of(&format!("/users/{id}/messages")).map(|kind| kind.name), Some("message"));
        let quoted = format!("users('{id}')/mailFolders('{id}')/messages");
        prop_assert_eq!(kind_of(&quoted).map(|kind| kind.name), Some("message"));
    }
}
