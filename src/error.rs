//! Showing an error with its causes.

use std::{error::Error, fmt};

/// An error and its causes on one line, separated by colons.
///
/// Our errors say only what happened at their own level; this is put around one at the place that handles it.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let words = error.to_string();
            // Some libraries repeat their cause in their own words.
            if !line.ends_with(&words) {
                line = line + ": " + &words;
            }
            cause = error.source();
        }
        f.write_str(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the certificate")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_follow_their_error_on_one_line() {
        let error = Outer(std::io::Error::other("no such file"));
        assert_eq!(Chain(&error).to_string(), "cannot read the certificate: no such file");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("IO error: {0}")]
    struct Repeating(#[source] std::io::Error);

    #[test]
    fn what_was_said_is_not_said_again() {
        let error = Repeating(std::io::Error::other("refused"));
        assert_eq!(Chain(&error).to_string(), "IO error: refused");
    }
}
