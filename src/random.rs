//! Random bytes for ids: drawn from the system many at a time, because every request needs some, and asking for them is a
//! call into the kernel. Not for keys: what is in stock lies in memory before its use.

use std::cell::RefCell;

use aws_lc_rs::rand;

/// Bytes that nobody has had. None only if the system has no random numbers.
pub(crate) fn bytes<const MANY: usize>() -> Option<[u8; MANY]> {
    STOCK.with_borrow_mut(Stock::take)
}

/// What a thread has drawn and not used.
struct Stock {
    bytes: [u8; STOCK_BYTES],
    used: usize,
}

impl Stock {
    fn take<const MANY: usize>(&mut self) -> Option<[u8; MANY]> {
        if self.bytes.len() - self.used < MANY {
            // As if all were used, should this fail.
            self.used = self.bytes.len();
            rand::fill(&mut self.bytes).ok()?;
            self.used = 0;
        }
        let taken = *self.bytes[self.used..].first_chunk()?;
        self.used += MANY;
        Some(taken)
    }
}

thread_local! {
    static STOCK: RefCell<Stock> = const { RefCell::new(Stock { bytes: [0; STOCK_BYTES], used: STOCK_BYTES }) };
}

/// Enough for the ids of twenty requests.
const STOCK_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nothing_is_given_twice() {
        let given: HashSet<[u8; 10]> = (0..1000).map(|_| bytes().expect("random numbers")).collect();
        assert_eq!(given.len(), 1000);
    }

    #[test]
    fn more_than_there_is_in_stock_is_never_given() {
        assert_eq!(bytes::<{ STOCK_BYTES + 1 }>(), None);
        assert!(bytes::<STOCK_BYTES>().is_some());
    }
}
