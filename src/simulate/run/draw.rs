//! What looks drawn, and is the same for the same seed, whatever else happens meanwhile.

/// Where a scenario's draws come from.
#[derive(Clone, Copy, Debug)]
pub struct Seed(pub u64);

/// What is drawn; for each the same number gives another draw.
#[derive(Clone, Copy, Debug)]
pub(super) enum Draw {
    /// Which range of items.
    Items,
    /// Which number in it.
    Size,
    Fault,
    Held,
    Template,
    Subscription,
    Change,
    Forged,
    /// The pause after so many failed attempts.
    Pause(u32),
}

impl Seed {
    /// A number from 0 up to 1, without 1.
    pub(super) fn chance(self, draw: Draw, number: u64) -> f64 {
        let kind = match draw {
            Draw::Items => 1,
            Draw::Fault => 2,
            Draw::Held => 3,
            Draw::Template => 4,
            Draw::Subscription => 5,
            Draw::Change => 6,
            Draw::Forged => 7,
            Draw::Size => 8,
            Draw::Pause(attempt) => 9 + u64::from(attempt),
        };
        let bits = mixed(mixed(mixed(self.0) ^ kind) ^ number);
        // 53 bits are what an f64 holds exactly.
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(self, draw: Draw, number: u64, bound: u64) -> u64 {
        ((self.chance(draw, number) * bound as f64) as u64).min(bound - 1)
    }
}

/// The output function of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Weights, and what each is for; one of them is picked by a chance.
#[derive(Clone, Debug)]
pub struct Weighted<T>(Vec<(f64, T)>);

impl<T> Weighted<T> {
    /// These weights, if at least one of them is not 0 and all of them are numbers that can be weights.
    pub fn new(weights: impl IntoIterator<Item = (f64, T)>) -> Option<Self> {
        let mut sum = 0.0;
        let mut steps = Vec::new();
        for (weight, what) in weights {
            if !weight.is_finite() || weight < 0.0 {
                return None;
            }
            sum += weight;
            steps.push((sum, what));
        }
        (sum > 0.0 && sum.is_finite()).then_some(Self(steps))
    }

    /// Only one thing to pick.
    pub fn one(what: T) -> Self {
        Self(vec![(1.0, what)])
    }

    /// Everything there is to pick.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, what)| what)
    }

    pub(super) fn pick(&self, chance: f64) -> &T {
        let sum = self.0.last().map_or(0.0, |(sum, _)| *sum);
        let place = self.0.partition_point(|(step, _)| *step <= chance * sum);
        &self.0[place.min(self.0.len() - 1)].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_again_and_another_seed_something_else() {
        let draws = |seed: u64| [0, 1, 2].map(|number| Seed(seed).chance(Draw::Fault, number));
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        assert_ne!(Seed(1).chance(Draw::Items, 0), Seed(1).chance(Draw::Fault, 0));
    }

    #[test]
    fn draws_are_spread_evenly() {
        let mut tenths = [0_u32; 10];
        for number in 0..100_000 {
            tenths[Seed(7).below(Draw::Forged, number, 10) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (9_500..10_500).contains(count)), "{tenths:?}");
    }

    #[test]
    fn weights_are_kept() {
        let weighted = Weighted::new([(1.0, 'a'), (0.0, 'b'), (3.0, 'c')]).expect("weights");
        let picked: String = [0.0, 0.24, 0.25, 0.9999].map(|chance| *weighted.pick(chance)).iter().collect();
        assert_eq!(picked, "aacc");
        for wrong in [vec![], vec![(0.0, ())], vec![(-1.0, ()), (2.0, ())], vec![(f64::NAN, ())]] {
            assert!(Weighted::new(wrong).is_none());
        }
    }
}
