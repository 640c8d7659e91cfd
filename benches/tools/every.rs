//! What every bench needs.

/// What it was called with.
pub(crate) fn arguments() -> Vec<String> {
    // Cargo adds an option of its own.
    std::env::args().skip(1).filter(|argument| argument != "--bench").collect()
}

/// The value in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
