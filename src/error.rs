//! Showing an error with its causes.

use std::{error::Error, fmt};

/// An error and its causes on one line, separated by colons.
///
/// Our errors say only what happened at their own level; this is put around one at the place that handles it.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
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
}
