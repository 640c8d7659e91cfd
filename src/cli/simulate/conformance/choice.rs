//! Which cases are played.

use anyhow::bail;
use clap::Args;

use crate::{
    cli::Usage,
    simulate::conformance::{self, case::Case},
};

#[derive(Args, Debug)]
pub(super) struct Choice {
    /// Only cases of this name, group or pattern; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// No cases of this name, group or pattern; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    skip: Vec<String>,
}

impl Choice {
    /// The cases that are left, in the order of the list.
    pub(super) fn cases(&self) -> anyhow::Result<Vec<&'static Case>> {
        let fits = |pattern: &String| conformance::cases().any(|case| is_meant(pattern, case));
        if let Some(unknown) = self.only.iter().chain(&self.skip).find(|pattern| !fits(pattern)) {
            let wrong = Usage("no case has such a name; graphhook simulate conformance --list has them all");
            return Err(anyhow::Error::new(wrong).context(format!("{unknown:?}")));
        }
        let is_any =
            |patterns: &[String], case: &Case| patterns.iter().any(|pattern| is_meant(pattern, case));
        let is_left =
            |case: &&Case| (self.only.is_empty() || is_any(&self.only, case)) && !is_any(&self.skip, case);
        let cases: Vec<_> = conformance::cases().filter(is_left).collect();
        if cases.is_empty() {
            bail!(Usage("no case is left: --skip takes away all that --only leaves"));
        }
        Ok(cases)
    }
}

fn is_meant(pattern: &str, case: &Case) -> bool {
    pattern == case.group() || is_like(pattern, case.name)
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn is_like(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(begin) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_has_stars() {
        for (pattern, name, fits) in [
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("a/*", "a/bc", true),
            ("*c", "a/bc", true),
            ("*b*", "a/bc", true),
            ("a*b*c", "a/bc", true),
            ("a*c*b", "a/bc", false),
            ("ab*b", "ab", false),
            ("*", "a", true),
        ] {
            assert_eq!(is_like(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn groups_are_taken_and_left_out_and_what_is_not_there_is_wrong_usage() {
        let cases = |only: &[&str], skip: &[&str]| {
            let own = |patterns: &[&str]| patterns.iter().map(|&pattern| pattern.to_owned()).collect();
            Choice { only: own(only), skip: own(skip) }.cases()
        };
        let all = cases(&[], &[]).expect("cases").len();
        let some = cases(&["handshake"], &[]).expect("cases");
        assert!(some.iter().all(|case| case.group() == "handshake") && !some.is_empty());
        assert_eq!(cases(&[], &["handshake/*"]).expect("cases").len(), all - some.len());
        assert_eq!(cases(&["handshake"], &["*/today"]).expect("cases").len(), some.len() - 1);
        for (only, skip) in [(&["handshakes"][..], &[][..]), (&[], &["a/*"]), (&["post"], &["post"])] {
            assert!(cases(only, skip).expect_err("refused").is::<Usage>());
        }
    }
}
