//! The table of secrets: what works, but not as it was meant. Lengths and equal secrets are the configuration's affair.

use std::collections::HashSet;

use super::report::{Check, Finding};
use crate::config::ClientState;

pub(super) fn secrets(table: &[ClientState]) -> Vec<Finding> {
    let mut findings: Vec<_> = table.iter().flat_map(of_entry).collect();
    findings.extend(wide_beside_narrow(table));
    let names: Vec<&str> = table.iter().map(|entry| entry.name.as_str()).collect();
    let words = match names.as_slice() {
        [] => "none in the table: graphhook makes its own".to_owned(),
        names => format!("{} in the table: {}", names.len(), names.join(", ")),
    };
    findings.push(Finding::ok(Check::ClientStates, words));
    findings
}

fn of_entry(entry: &ClientState) -> Vec<Finding> {
    let secret = entry.secret.expose();
    let variety = secret.chars().collect::<HashSet<_>>().len();
    let found = [
        (
            secret.trim() != secret,
            "white space at an end is part of the secret",
            "write it without: of a file only one newline at its end is taken off",
        ),
        (
            secret.trim().chars().any(char::is_control),
            "control characters are part of the secret",
            "a secret is best made of letters and digits, by openssl rand -hex 24",
        ),
        (variety < VARIETY, "few different characters: easy to guess", "make one by openssl rand -hex 24"),
    ];
    let finding = |(_, words, advice)| {
        Finding::warning(Check::ClientStates, format!("{}: {words}", entry.name), advice)
    };
    found.into_iter().filter(|(is_so, ..)| *is_so).map(finding).collect()
}

/// Entries that list subscriptions or tenants say that each secret is good for its own; one that lists none is good for
/// theirs too.
fn wide_beside_narrow(table: &[ClientState]) -> Option<Finding> {
    let is_wide = |entry: &&ClientState| entry.subscriptions.is_empty() && entry.tenants.is_empty();
    let (wide, narrow): (Vec<_>, Vec<_>) = table.iter().partition(is_wide);
    let (wide, narrow) = (wide.first()?, narrow.first()?);
    let words = format!("{} admits every subscription, also those that {} lists", wide.name, narrow.name);
    Some(Finding::warning(Check::ClientStates, words, "list its subscriptions or tenants, too"))
}

/// 24 random bytes in hexadecimal have some 15 different digits; what has fewer than this was hardly drawn by chance.
const VARIETY: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{notification::id::SubscriptionId, secret::Secret};

    fn entry(name: &str, secret: &str, subscriptions: &[&str]) -> ClientState {
        let ids = subscriptions.iter().map(|id| SubscriptionId::from((*id).to_owned()));
        ClientState {
            name: name.to_owned(),
            secret: Secret::new(secret.to_owned()),
            subscriptions: ids.collect(),
            tenants: HashSet::new(),
            silent_after: None,
        }
    }

    #[track_caller]
    fn check(table: &[ClientState], words: &[&str]) {
        let findings = secrets(table);
        assert_eq!(findings.len(), words.len() + 1, "{findings:?}");
        let said = format!("{findings:?}");
        assert!(words.iter().all(|words| said.contains(words)), "{said}");
        assert!(table.iter().all(|entry| !said.contains(entry.secret.expose())), "{said}");
    }

    #[test]
    fn odd_secrets_are_told_of_and_never_quoted() {
        let good = "4f1c9ad07be25836";
        check(&[entry("mail", good, &[])], &[]);
        assert!(format!("{:?}", secrets(&[])).contains("none in the table: graphhook makes its own"));
        check(&[entry("mail", "4f1c9ad07be25836\n", &[])], &["mail: white space at an end"]);
        check(&[entry("mail", " 4f1c9ad07be25836", &[])], &["white space"]);
        check(&[entry("mail", "4f1c9ad0\t7be25836", &[])], &["control characters"]);
        check(&[entry("mail", "aaaaaaaabbbbbbbb", &[])], &["few different characters"]);
    }

    #[test]
    fn a_wide_entry_beside_a_narrow_one_is_told_of() {
        let (one, other) = ("4f1c9ad07be25836", "836be2507da9c1f4");
        check(&[entry("a", one, &["x"]), entry("b", other, &["y"])], &[]);
        check(&[entry("a", one, &[]), entry("b", other, &[])], &[]);
        check(&[entry("a", one, &["x"]), entry("b", other, &[])], &["b admits every subscription"]);
    }
}
