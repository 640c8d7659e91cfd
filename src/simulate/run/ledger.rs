//! What became of each notification, a byte for each: what was sent and accepted, and what arrived at the broker.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::stock::Stock;

/// Notifications of one run, by their numbers.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Vec<u8>>);

/// What arrived, against what was sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Arrivals {
    /// Different notifications that arrived.
    pub arrived: u64,
    /// Genuine ones that were answered 2xx and have not come.
    pub accepted_never_arrived: u64,
    /// Ids of some of these.
    pub missing: Vec<String>,
    /// Came twice although they were sent once.
    pub arrived_twice: u64,
    /// Came twice, and were sent twice: after an answer that was late or lost, or as a duplicate.
    pub sent_and_arrived_twice: u64,
    /// Came, and were never answered 2xx: so it may be after a 503 or a lost answer.
    pub arrived_unaccepted: u64,
    /// Forged ones that came.
    pub forged_arrived: u64,
    /// For a while nobody looked, or not fast enough: some may have come unseen.
    pub seen_in_part: bool,
}

impl Ledger {
    /// These are sent.
    pub(super) fn sent(&self, first: u64, items: u32) {
        let mut books = self.books();
        let end = index(first) + items as usize;
        if books.len() < end {
            books.resize(end, 0);
        }
        for book in &mut books[index(first)..end] {
            *book |= if *book & SENT == 0 { SENT } else { SENT_TWICE };
        }
    }

    /// These were answered 2xx.
    pub(super) fn accepted(&self, first: u64, items: u32) {
        for book in self.books().iter_mut().skip(index(first)).take(items as usize) {
            *book |= ACCEPTED;
        }
    }

    /// This one has come; what was never sent is nobody's.
    pub fn arrived(&self, number: u64) {
        if let Some(book) = self.books().get_mut(index(number)).filter(|book| **book & SENT != 0) {
            *book |= if *book & ARRIVED == 0 { ARRIVED } else { ARRIVED_TWICE };
        }
    }

    /// How many genuine ones were answered 2xx and have not come yet.
    pub fn missing(&self, stock: &Stock) -> u64 {
        let books = self.books();
        let missing =
            books.iter().enumerate().filter(|(number, book)| is_missing(stock, *number as u64, **book));
        missing.count() as u64
    }

    /// The sum.
    pub fn arrivals(&self, stock: &Stock) -> Arrivals {
        let mut sum = Arrivals::default();
        for (number, book) in self.books().iter().enumerate() {
            let (number, has) = (number as u64, |bit: u8| book & bit != 0);
            sum.arrived += u64::from(has(ARRIVED));
            sum.forged_arrived += u64::from(has(ARRIVED) && stock.is_forged(number));
            sum.arrived_unaccepted += u64::from(has(ARRIVED) && !has(ACCEPTED));
            sum.arrived_twice += u64::from(has(ARRIVED_TWICE) && !has(SENT_TWICE));
            sum.sent_and_arrived_twice += u64::from(has(ARRIVED_TWICE) && has(SENT_TWICE));
            if is_missing(stock, number, *book) {
                sum.accepted_never_arrived += 1;
                if sum.missing.len() < NAMED_MAX {
                    sum.missing.push(stock.id(number).to_string());
                }
            }
        }
        sum
    }

    fn books(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_missing(stock: &Stock, number: u64, book: u8) -> bool {
    book & (ACCEPTED | ARRIVED) == ACCEPTED && !stock.is_forged(number)
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

const SENT: u8 = 1;
const SENT_TWICE: u8 = 2;
const ACCEPTED: u8 = 4;
const ARRIVED: u8 = 8;
const ARRIVED_TWICE: u8 = 16;
/// How many ids are named of those that are missing.
const NAMED_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::run::scenario::{Extent, Pace, Scenario};

    #[test]
    fn every_fate_has_its_line() {
        let stock = Stock::new(Scenario::new(Pace::FlatOut, Extent::Count(1)), None);
        let ledger = Ledger::default();
        ledger.sent(0, 6);
        ledger.accepted(0, 4);
        ledger.sent(3, 1);
        for number in [0, 2, 2, 3, 3, 5, 1 << 39] {
            ledger.arrived(number);
        }
        assert_eq!(ledger.missing(&stock), 1);
        let expected = Arrivals {
            arrived: 4,
            accepted_never_arrived: 1,
            missing: vec![stock.id(1).to_string()],
            arrived_twice: 1,
            sent_and_arrived_twice: 1,
            arrived_unaccepted: 1,
            forged_arrived: 0,
            seen_in_part: false,
        };

        assert_eq!(ledger.arrivals(&stock), expected);
    }

    #[test]
    fn forged_ones_are_not_missed() {
        let mut scenario = Scenario::new(Pace::FlatOut, Extent::Count(1));
        scenario.faults.forged = 1.0;
        let (stock, ledger) = (Stock::new(scenario, None), Ledger::default());
        ledger.sent(0, 2);
        ledger.accepted(0, 2);
        ledger.arrived(1);
        let sum = ledger.arrivals(&stock);
        assert_eq!((sum.accepted_never_arrived, sum.forged_arrived), (0, 1));
    }
}
