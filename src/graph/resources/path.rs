//! From the path of a resource to the name of its type.

/// The name of the type, if the path is one of those that can be watched.
pub(super) fn kind(resource: &str) -> Option<&'static str> {
    let segments = segments(resource)?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["users" | "me"] | ["users", _] => Some("user"),
        ["me", rest @ ..] | ["users", _, rest @ ..] => of_user(rest),
        ["groups"] | ["groups", _] | ["groups", _, "members" | "owners"] => Some("group"),
        ["groups", _, "conversations"] => Some("conversation"),
        ["groups" | "sites", _, rest @ ..] if is_drive(rest) => Some("driveItem"),
        ["drive" | "drives", ..] if is_drive(&segments) => Some("driveItem"),
        ["sites", _, "lists", _] | ["sites", _, _, "lists", _] => Some("list"),
        ["security", "alerts" | "alerts_v2", ..] => Some("alert"),
        ["reports", "healthmonitoring", "alerts", ..] => Some("healthAlert"),
        ["communications", "callrecords", ..] => Some("callRecord"),
        ["communications", "presences", ..] => Some("presence"),
        ["communications", "onlinemeetings", rest @ ..] => of_meetings(rest),
        ["teams", rest @ ..] => of_teams(rest),
        ["chats", rest @ ..] => of_chats(rest),
        ["appcatalogs", "teamsapps", _, "installations"] => Some("teamsAppInstallation"),
        ["appcatalogs", "teamsapps", _, "installedtochats", rest @ ..] => of_chats(rest),
        ["solutions", "approval", "approvalitems", ..] => Some("approvalItem"),
        ["solutions", "virtualevents", ..] => Some("virtualEvent"),
        ["copilot", rest @ ..] => match rest.last() {
            Some(&"getallenterpriseinteractions") => Some("aiInteraction"),
            Some(&("getallaiinsights" | "aiinsights")) => Some("aiInsight"),
            Some(_) | None => None,
        },
        ["print", "printers", _, "jobs"] => Some("printJob"),
        ["print", "taskdefinitions" | "printtaskdefinition", _, "tasks"] => Some("printTaskDefinition"),
        _ => None,
    }
}

fn of_user(rest: &[&str]) -> Option<&'static str> {
    match rest {
        ["messages"] | ["mailfolders", .., "messages"] => Some("message"),
        ["events"] | ["calendar" | "calendars" | "calendargroups", .., "events"] => Some("event"),
        ["contacts"] | ["contactfolders", .., "contacts"] => Some("contact"),
        ["chats", rest @ ..] => of_chats(rest),
        ["onlinemeetings", rest @ ..] => of_meetings(rest),
        ["todo", "lists", _, "tasks"] => Some("todoTask"),
        ["tasks", .., "tasks"] | ["tasks", "alltasks"] => Some("baseTask"),
        rest if is_drive(rest) => Some("driveItem"),
        _ => None,
    }
}

/// Of a drive its root, and in personal ones any folder.
fn is_drive(rest: &[&str]) -> bool {
    let within = match rest {
        ["drives", _, within @ ..] | ["drive", within @ ..] => within,
        _ => return false,
    };
    matches!(within, ["root", ..] | ["items", _]) || matches!(within, [path, ..] if path.starts_with("root:"))
}

fn of_meetings(rest: &[&str]) -> Option<&'static str> {
    match *rest.last()? {
        "getallrecordings" | "recordings" => Some("callRecording"),
        "getalltranscripts" | "transcripts" => Some("callTranscript"),
        "meetingcallevents" => Some("onlineMeeting"),
        _ => None,
    }
}

fn of_teams(rest: &[&str]) -> Option<&'static str> {
    match rest {
        ["getallmessages"] | [_, "channels", "getallmessages"] => Some("chatMessage"),
        [_, "channels", _, "messages", ..] => Some("chatMessage"),
        ["getallchannels"] | [_, "channels"] => Some("channel"),
        [_, "members"] | [_, "channels", _, "members"] => Some("conversationMember"),
        ["getallchannels" | "getallmembers", "getallmembers"] | [_, "channels", "getallmembers"] => {
            Some("conversationMember")
        }
        [_, "schedule", part, ..] => match *part {
            "shifts" => Some("shift"),
            "openshiftchangerequests" => Some("openShiftChangeRequest"),
            "offershiftrequests" => Some("offerShiftRequest"),
            "swapshiftschangerequests" => Some("swapShiftsChangeRequest"),
            "timeoffrequests" => Some("timeOffRequest"),
            _ => None,
        },
        [] | [_] => Some("team"),
        _ => None,
    }
}

fn of_chats(rest: &[&str]) -> Option<&'static str> {
    match rest {
        ["getallmessages"] | [_, "messages", ..] => Some("chatMessage"),
        ["getallmembers"] | [_, "members"] => Some("conversationMember"),
        [] | [_] => Some("chat"),
        _ => None,
    }
}

/// The path's segments in lower case, without its query. A key in parentheses is a segment of its own; within quotes
/// stands anything, and two of them are one.
fn segments(resource: &str) -> Option<Vec<String>> {
    let (mut segments, mut segment) = (Vec::new(), String::new());
    let (mut is_quoted, mut depth) = (false, 0_u32);
    for c in resource.trim().trim_start_matches('/').chars() {
        match c {
            '\'' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            '?' if depth == 0 => break,
            '/' if depth == 0 => {
                take(&mut segments, &mut segment);
                continue;
            }
            _ => {}
        }
        segment.push(c);
    }
    take(&mut segments, &mut segment);
    (!is_quoted && depth == 0 && !segments.is_empty()).then_some(segments)
}

fn take(segments: &mut Vec<String>, segment: &mut String) {
    let whole = std::mem::take(segment);
    // A name may stand before a key; without one, the parentheses are part of an id.
    let (name, key) = match whole.split_once('(') {
        Some((name, key)) if !name.is_empty() && !name.contains(':') => (name, Some(key)),
        Some(_) | None => (whole.as_str(), None),
    };
    if !name.is_empty() {
        segments.push(name.to_ascii_lowercase());
    }
    // A function without arguments has a name only.
    segments
        .extend(key.map(|key| key.trim_end_matches(')').to_ascii_lowercase()).filter(|key| !key.is_empty()));
}
