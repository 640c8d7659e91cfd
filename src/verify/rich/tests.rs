//! What does not need a daemon to be shown.

mod turns;
mod verdicts;
