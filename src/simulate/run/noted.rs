//! Numbers of POSTs that something was noted of, a bit for each.

/// The numbers.
#[derive(Debug, Default)]
pub(super) struct Noted(Vec<u64>);

impl Noted {
    /// Notes one; `true` the first time.
    pub(super) fn is_first(&mut self, number: u64) -> bool {
        let place = usize::try_from(number / BITS).unwrap_or(usize::MAX);
        if self.0.len() <= place {
            self.0.resize(place + 1, 0);
        }
        let bit = 1 << (number % BITS);
        let is_first = self.0[place] & bit == 0;
        self.0[place] |= bit;
        is_first
    }
}

const BITS: u64 = u64::BITS as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_first_once() {
        let mut noted = Noted::default();
        let first: Vec<bool> = [0, 64, 0, 63, 64, 1_000].map(|number| noted.is_first(number)).into();
        assert_eq!(first, [true, true, false, true, false, true]);
    }
}
