//! Times, sizes and foreign text as people read them.

use std::{
    fmt::Write,
    time::{Duration, SystemTime},
};

use bytesize::ByteSize;

use crate::moment::rfc3339_exact;

/// A length of time in its two largest units: `2 h 5 min`.
pub(super) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let first = UNITS.iter().position(|(_, unit)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let (_, unit) = UNITS[first];
    let words = count(seconds / unit, first);
    match seconds % unit / UNITS.get(first + 1).map_or(u64::MAX, |(_, next)| *next) {
        0 => words,
        more => format!("{words} {}", count(more, first + 1)),
    }
}

fn count(many: u64, unit: usize) -> String {
    let (name, seconds) = UNITS[unit];
    let plural = if seconds == DAY && many != 1 { "s" } else { "" };
    format!("{many} {name}{plural}")
}

/// When something ends, or has ended: `in 2 d 3 h`, `ended 3 h ago`. Short, for columns.
pub(super) fn end(end: SystemTime, now: SystemTime) -> String {
    match end.duration_since(now) {
        Ok(left) if !left.is_zero() => format!("in {}", brief(left)),
        Ok(_) | Err(_) => format!("ended {} ago", brief(now.duration_since(end).unwrap_or_default())),
    }
}

/// As [`end`], in a sentence: `ends in 2 d 3 h`, `ended 3 h ago`.
pub(super) fn ends(end: SystemTime, now: SystemTime) -> String {
    let words = self::end(end, now);
    if words.starts_with("in ") { format!("ends {words}") } else { words }
}

/// As [`age`], with `d` for days.
pub(super) fn brief(time: Duration) -> String {
    age(time).replace(" days", " d").replace(" day", " d")
}

/// RFC 3339, to the second. A damaged row may name any time.
pub(super) fn time(time: SystemTime) -> String {
    rfc3339_exact(time).unwrap_or_else(|| "never".to_owned())
}

/// Bytes in binary units: `4.0 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    ByteSize::b(bytes).to_string()
}

/// Text that somebody else wrote, fit for a terminal: what would command it, or cannot be seen, is written out.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        let is_shown = matches!(character, '"' | '\'' | '\\') || character.escape_debug().len() == 1;
        if !is_shown {
            write!(plain, "\\u{{{:x}}}", u32::from(character)).expect("a string takes all");
        } else {
            plain.push(character);
        }
    }
    plain
}

/// `1 message`, `2 messages`.
pub(super) fn messages(many: u64) -> String {
    number(many, "message")
}

/// So many of something.
pub(super) fn number(many: u64, what: &str) -> String {
    format!("{many} {what}{}", if many == 1 { "" } else { "s" })
}

const DAY: u64 = 24 * 60 * 60;
const UNITS: [(&str, u64); 4] = [("day", DAY), ("h", 60 * 60), ("min", 60), ("s", 1)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_two_units_at_most() {
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min 59 s"),
            (2 * 3600 + 300 + 7, "2 h 5 min"),
            (24 * 3600 + 59, "1 day"),
            (3 * 24 * 3600 + 4 * 3600, "3 days 4 h"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn an_end_is_before_us_or_behind_us() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (seconds, words) in [
            (2 * 24 * 3600 + 3 * 3600 + 59_i64, "in 2 d 3 h"),
            (24 * 3600, "in 1 d"),
            (90, "in 1 min 30 s"),
            (0, "ended 0 s ago"),
            (-3 * 3600, "ended 3 h ago"),
            (-25 * 3600, "ended 1 d 1 h ago"),
        ] {
            let time = Duration::from_secs(i64::unsigned_abs(seconds));
            let moment = if seconds < 0 { now - time } else { now + time };
            assert_eq!(end(moment, now), words);
            let sentence = if seconds > 0 { format!("ends {words}") } else { words.to_owned() };
            assert_eq!(ends(moment, now), sentence);
        }
    }

    #[test]
    fn no_time_is_too_odd() {
        assert_eq!(time(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)), "2023-11-14T22:13:20Z");
        assert_eq!(time(SystemTime::UNIX_EPOCH + Duration::from_micros(i64::MAX as u64)), "never");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(plain("a\u{1b}[31m\u{9b}é\n"), "a\\u{1b}[31m\\u{9b}é\\u{a}");
        assert_eq!(plain("a\u{202e}\u{200b}\u{2028}b"), "a\\u{202e}\\u{200b}\\u{2028}b");
        assert_eq!(plain("it's \"C:\\\", 名"), "it's \"C:\\\", 名");
    }
}
