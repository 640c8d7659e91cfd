//! Asking before something that cannot be undone.

use std::io::{self, IsTerminal, Write};

use super::Usage;

/// Goes on if `--yes` was given, or somebody at a terminal says so.
pub(super) fn confirm(what: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Usage("there is nobody to ask: say --yes, or --dry-run to see what would happen").into());
    }
    write!(io::stderr(), "{what} Go on? [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => anyhow::bail!("nothing was done"),
    }
}
