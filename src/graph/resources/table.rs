//! The table of resources.
//!
//! Lifetimes are of "subscription resource type" (<https://learn.microsoft.com/graph/api/resources/subscription>, September
//! 2026), paths and quotas of "Microsoft Graph API change notifications" (<https://learn.microsoft.com/graph/change-notifications-overview>,
//! March 2025), resource data of "Set up change notifications that include resource data"
//! (<https://learn.microsoft.com/graph/change-notifications-with-resource-data>, April 2026), permissions of "Create
//! subscription" (<https://learn.microsoft.com/graph/api/subscription-post-subscriptions>). Where two rows of the first
//! differ, the shorter lifetime stands here; where there is none (`aiInsight`, `virtualEvent`), an hour.

use std::time::Duration;

use super::{ResourceKind, Rich, minutes};
use crate::config::ChangeType::{self, Created, Deleted, Updated};

/// Every type of resource that can be watched.
pub const KINDS: &[ResourceKind] = &[
    ResourceKind {
        name: "message",
        example: "/users/{id}/messages",
        change_types: ALL,
        lifetime_max: minutes(10_080),
        rich: Rich::NeedsSelect,
        rich_lifetime_max: Some(minutes(1_440)),
        application_permission: Some("Mail.Read"),
        delegated_permission: Some("Mail.ReadBasic"),
        quota: "1,000 active per mailbox, of all apps",
        ..PLAIN
    },
    ResourceKind {
        name: "event",
        example: "/users/{id}/events",
        change_types: ALL,
        lifetime_max: minutes(10_080),
        rich: Rich::NeedsSelect,
        rich_lifetime_max: Some(minutes(1_440)),
        application_permission: Some("Calendars.Read"),
        delegated_permission: Some("Calendars.Read"),
        quota: "1,000 active per mailbox, of all apps",
        ..PLAIN
    },
    ResourceKind {
        name: "contact",
        example: "/users/{id}/contacts",
        change_types: ALL,
        lifetime_max: minutes(10_080),
        rich: Rich::NeedsSelect,
        rich_lifetime_max: Some(minutes(1_440)),
        application_permission: Some("Contacts.Read"),
        delegated_permission: Some("Contacts.Read"),
        quota: "1,000 active per mailbox, of all apps",
        ..PLAIN
    },
    ResourceKind {
        name: "user",
        example: "/users",
        change_types: &[Updated, Deleted],
        lifetime_max: minutes(41_760),
        application_permission: Some("User.Read.All"),
        delegated_permission: Some("User.Read.All"),
        quota: "50,000 per app, 1,000 per tenant, 100 per app and tenant",
        ..PLAIN
    },
    ResourceKind {
        name: "group",
        example: "/groups",
        change_types: &[Updated, Deleted],
        lifetime_max: minutes(41_760),
        application_permission: Some("Group.Read.All"),
        delegated_permission: Some("Group.Read.All"),
        quota: "50,000 per app, 1,000 per tenant, 100 per app and tenant",
        ..PLAIN
    },
    ResourceKind {
        name: "conversation",
        example: "/groups/{id}/conversations",
        change_types: ALL,
        lifetime_max: minutes(4_230),
        delegated_only: true,
        delegated_permission: Some("Group.Read.All"),
        ..PLAIN
    },
    ResourceKind {
        name: "driveItem",
        example: "/users/{id}/drive/root",
        change_types: &[Updated],
        lifetime_max: minutes(42_300),
        application_permission: Some("Files.Read.All"),
        delegated_permission: Some("Files.Read.All"),
        ..PLAIN
    },
    ResourceKind {
        name: "list",
        example: "/sites/{id}/lists/{id}",
        change_types: &[Updated],
        lifetime_max: minutes(42_300),
        application_permission: Some("Sites.Read.All"),
        delegated_permission: Some("Sites.Read.All"),
        ..PLAIN
    },
    ResourceKind {
        name: "alert",
        example: "/security/alerts?$filter=status eq 'newAlert'",
        change_types: &[Updated],
        lifetime_max: minutes(43_200),
        application_permission: Some("SecurityEvents.ReadWrite.All"),
        delegated_permission: Some("SecurityEvents.ReadWrite.All"),
        ..PLAIN
    },
    ResourceKind {
        name: "healthAlert",
        example: "/reports/healthmonitoring/alerts",
        change_types: UNDOCUMENTED,
        lifetime_max: minutes(42_300),
        ..PLAIN
    },
    ResourceKind {
        name: "callRecord",
        example: "/communications/callRecords",
        change_types: &[Created, Updated],
        lifetime_max: minutes(4_230),
        application_permission: Some("CallRecords.Read.All"),
        quota: "100 per organization",
        ..PLAIN
    },
    ResourceKind {
        name: "chatMessage",
        example: "/teams/{id}/channels/{id}/messages",
        change_types: ALL,
        lifetime_max: minutes(4_320),
        rich: Rich::Yes,
        lifecycle_above: AN_HOUR,
        application_permission: Some("ChannelMessage.Read.All"),
        delegated_permission: Some("ChannelMessage.Read.All"),
        quota: "1 per app and channel or chat, 10 per user, 10,000 per organization",
        ..PLAIN
    },
    ResourceKind {
        name: "channel",
        example: "/teams/{id}/channels",
        change_types: ALL,
        lifetime_max: minutes(4_320),
        rich: Rich::Yes,
        lifecycle_above: AN_HOUR,
        quota: "1 per app and team, 10,000 per organization",
        ..PLAIN
    },
    ResourceKind {
        name: "team",
        example: "/teams/{id}",
        change_types: ALL,
        lifetime_max: minutes(4_320),
        rich: Rich::Yes,
        lifecycle_above: AN_HOUR,
        quota: "1 per app and team, 10,000 per organization",
        ..PLAIN
    },
    ResourceKind {
        name: "chat",
        example: "/chats/{id}",
        change_types: &[Created, Updated],
        lifetime_max: minutes(4_320),
        rich: Rich::Yes,
        lifecycle_above: AN_HOUR,
        quota: "1 per app and chat, 10 per user, 10,000 per organization",
        ..PLAIN
    },
    ResourceKind {
        name: "conversationMember",
        example: "/teams/{id}/members",
        change_types: ALL,
        lifetime_max: minutes(4_320),
        rich: Rich::Yes,
        lifecycle_above: AN_HOUR,
        quota: "1 per app and team, 10,000 per organization",
        ..PLAIN
    },
    ResourceKind {
        name: "teamsAppInstallation",
        example: "/appCatalogs/teamsApps/{id}/installations",
        change_types: UNDOCUMENTED,
        lifetime_max: minutes(4_320),
        lifecycle_above: AN_HOUR,
        ..PLAIN
    },
    ResourceKind {
        name: "onlineMeeting",
        example: "/communications/onlineMeetings(joinWebUrl='{url}')/meetingCallEvents",
        change_types: UNDOCUMENTED,
        lifetime_max: minutes(4_230),
        rich: Rich::Yes,
        lifecycle_above: AN_HOUR,
        quota: "1 per app and meeting",
        ..PLAIN
    },
    ResourceKind {
        name: "callRecording",
        example: "/communications/onlineMeetings/getAllRecordings",
        change_types: &[Created],
        lifetime_max: minutes(4_320),
        rich: Rich::Yes,
        lifecycle_above: AN_HOUR,
        quota: "1 per app and meeting, 1 per app and user, 10 per user, 10,000 per organization",
        ..PLAIN
    },
    ResourceKind {
        name: "callTranscript",
        example: "/communications/onlineMeetings/getAllTranscripts",
        change_types: &[Created],
        lifetime_max: minutes(4_320),
        rich: Rich::Yes,
        lifecycle_above: AN_HOUR,
        quota: "1 per app and meeting, 1 per app and user, 10 per user, 10,000 per organization",
        ..PLAIN
    },
    ResourceKind {
        name: "presence",
        example: "/communications/presences/{id}",
        change_types: &[Updated],
        lifetime_max: minutes(60),
        rich: Rich::Yes,
        rich_lifetime_max: Some(minutes(60)),
        lifecycle_above: AN_HOUR,
        delegated_only: true,
        delegated_permission: Some("Presence.Read.All"),
        quota: "650 users per subscription, 1 per app and user",
        global_only: true,
        ..PLAIN
    },
    ResourceKind {
        name: "approvalItem",
        example: "/solutions/approval/approvalItems",
        change_types: UNDOCUMENTED,
        lifetime_max: minutes(43_200),
        quota: "1,000 per tenant, 1 per app and tenant",
        ..PLAIN
    },
    ResourceKind {
        name: "shift",
        example: "/teams/{id}/schedule/shifts",
        change_types: UNDOCUMENTED,
        lifetime_max: minutes(360),
        lifecycle_above: AN_HOUR,
        quota: "1 per app, path and tenant, 10 per user and path, 10,000 per organization",
        ..PLAIN
    },
    ResourceKind {
        name: "openShiftChangeRequest",
        example: "/teams/{id}/schedule/openShiftChangeRequests",
        change_types: UNDOCUMENTED,
        lifetime_max: minutes(360),
        lifecycle_above: AN_HOUR,
        quota: "1 per app, path and tenant, 10 per user and path, 10,000 per organization",
        ..PLAIN
    },
    ResourceKind {
        name: "offerShiftRequest",
        example: "/teams/{id}/schedule/offerShiftRequests",
        change_types: UNDOCUMENTED,
        lifetime_max: minutes(360),
        lifecycle_above: AN_HOUR,
        quota: "1 per app, path and tenant, 10 per user and path",
        ..PLAIN
    },
    ResourceKind {
        name: "swapShiftsChangeRequest",
        example: "/teams/{id}/schedule/swapShiftsChangeRequests",
        change_types: UNDOCUMENTED,
        lifetime_max: minutes(360),
        lifecycle_above: AN_HOUR,
        quota: "1 per app, path and tenant, 10 per user and path, 10,000 per organization",
        ..PLAIN
    },
    ResourceKind {
        name: "timeOffRequest",
        example: "/teams/{id}/schedule/timeOffRequests",
        change_types: UNDOCUMENTED,
        lifetime_max: minutes(360),
        lifecycle_above: AN_HOUR,
        quota: "1 per app, path and tenant, 10 per user and path, 10,000 per organization",
        ..PLAIN
    },
    ResourceKind {
        name: "aiInteraction",
        example: "/copilot/users/{id}/interactionHistory/getAllEnterpriseInteractions",
        change_types: UNDOCUMENTED,
        lifetime_max: minutes(4_320),
        rich: Rich::Yes,
        lifecycle_above: AN_HOUR,
        quota: "1 per app and tenant or user, 10 per user, 10,000 per organization",
        ..PLAIN
    },
    ResourceKind {
        name: "aiInsight",
        example: "/copilot/users/{id}/onlineMeetings/getAllAiInsights",
        change_types: UNDOCUMENTED,
        lifetime_max: minutes(60),
        lifecycle_above: AN_HOUR,
        quota: "1 per app and user or meeting, 10 per user, 10,000 per organization",
        ..PLAIN
    },
    ResourceKind {
        name: "printJob",
        example: "/print/printers/{id}/jobs",
        change_types: &[Updated],
        lifetime_max: minutes(4_230),
        ..PLAIN
    },
    ResourceKind {
        name: "printTaskDefinition",
        example: "/print/taskDefinitions/{id}/tasks",
        change_types: &[Created],
        lifetime_max: minutes(4_230),
        ..PLAIN
    },
    ResourceKind {
        name: "todoTask",
        example: "/me/todo/lists/{id}/tasks",
        change_types: ALL,
        lifetime_max: minutes(4_230),
        application_permission: Some("Tasks.ReadWrite.All"),
        delegated_permission: Some("Tasks.ReadWrite"),
        global_only: true,
        ..PLAIN
    },
    ResourceKind {
        name: "virtualEvent",
        example: "/solutions/virtualEvents/webinars/{id}",
        change_types: UNDOCUMENTED,
        lifetime_max: minutes(60),
        ..PLAIN
    },
    ResourceKind {
        name: "baseTask",
        example: "/me/tasks/lists/{id}/tasks",
        change_types: ALL,
        lifetime_max: minutes(4_230),
        ..PLAIN
    },
];

/// What most rows have in common.
const PLAIN: ResourceKind = ResourceKind {
    name: "",
    example: "",
    change_types: UNDOCUMENTED,
    lifetime_max: Duration::ZERO,
    rich: Rich::No,
    rich_lifetime_max: None,
    lifecycle_above: None,
    delegated_only: false,
    application_permission: None,
    delegated_permission: None,
    quota: "",
    global_only: false,
};
const ALL: &[ChangeType] = &[Created, Updated, Deleted];
const UNDOCUMENTED: &[ChangeType] = &[];
/// Of the resources of Teams and Copilot.
const AN_HOUR: Option<Duration> = Some(minutes(60));
