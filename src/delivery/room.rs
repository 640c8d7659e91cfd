//! The bound of what is on its way, in messages and in bytes: to the broker, into the spool, to the quarantine.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for messages in flight. It is handed out in the order in which it was asked for.
///
/// A message that the broker never confirms keeps its room until its channel is given up; while that lasts,
/// requests wait here until their answer is owed, and memory does not grow.
#[derive(Debug)]
pub(super) struct Room {
    all: (usize, usize),
    messages: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// Room for one message; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Taken {
    message: OwnedSemaphorePermit,
    bytes: OwnedSemaphorePermit,
}

/// Room for some messages, taken together.
#[derive(Debug)]
pub(super) struct Portion(Taken);

impl Room {
    pub(super) fn new(messages: usize, bytes: usize) -> Self {
        Self {
            all: (messages, bytes),
            messages: Arc::new(Semaphore::new(messages)),
            bytes: Arc::new(Semaphore::new(bytes)),
        }
    }

    /// How many messages of these sizes may ask for room together, at least the first: whoever asks for much waits for all
    /// of it, and whoever asks for one after the other is woken for each.
    pub(super) fn portion(&self, sizes: impl Iterator<Item = usize>) -> usize {
        let (messages, mut bytes_left) = ((self.all.0 / PARTS).min(TOGETHER_MAX), self.all.1 / PARTS);
        let fits =
            |bytes: &usize| bytes_left.checked_sub(*bytes).inspect(|left| bytes_left = *left).is_some();
        sizes.take(messages).take_while(fits).count().max(1)
    }

    /// Waits for room for messages of these sizes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes nothing.
    pub(super) async fn take(&self, sizes: impl ExactSizeIterator<Item = usize>) -> Portion {
        let (messages, bytes) = (permits(sizes.len()), permits(sizes.sum()));
        let messages = Arc::clone(&self.messages).acquire_many_owned(messages).await;
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(bytes).await;
        let open = "these semaphores are never closed";
        Portion(Taken { message: messages.expect(open), bytes: bytes.expect(open) })
    }

    /// Room for one message that is there now, if there is any.
    pub(super) fn try_take(&self, bytes: usize) -> Option<Taken> {
        let message = Arc::clone(&self.messages).try_acquire_owned().ok()?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
        Some(Taken { message, bytes })
    }
}

/// The configuration keeps the room in bytes below 4 GiB and no smaller than the largest body.
fn permits(many: usize) -> u32 {
    u32::try_from(many).unwrap_or(u32::MAX)
}

impl Portion {
    /// The part of it that one message of `bytes` takes; none if it was not asked for.
    pub(super) fn split(&mut self, bytes: usize) -> Option<Taken> {
        Some(Taken { message: self.0.message.split(1)?, bytes: self.0.bytes.split(bytes)? })
    }
}

/// A request takes no more than one part of the room at once.
const PARTS: usize = 16;
const TOGETHER_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_and_bytes_are_both_bounded_and_come_back() {
        let room = Room::new(2, 100);
        let one = room.try_take(60);
        assert!(one.is_some());
        assert!(room.try_take(60).is_none(), "bytes");
        let two = room.try_take(40);
        drop(one);
        assert!(room.try_take(60).is_some());
        let three = room.take([1].into_iter()).await;
        assert!(room.try_take(1).is_none(), "messages");
        drop((two, three));
        assert!(room.try_take(100).is_some());
    }

    #[tokio::test]
    async fn what_is_taken_together_comes_back_one_by_one() {
        let room = Room::new(3, 100);
        let mut portion = room.take([10, 20, 70].into_iter()).await;
        let (one, two) = (portion.split(10), portion.split(20));
        assert!(room.try_take(1).is_none());
        drop(one.expect("it was taken"));
        assert!(room.try_take(10).is_some() && room.try_take(11).is_none());
        drop((two, portion));
        assert!(room.try_take(100).is_some());
    }

    #[test]
    fn nobody_asks_for_more_than_a_part_of_the_room_but_for_a_single_message() {
        for (messages, bytes, sizes, portion) in [
            (2048, 64 << 20, &[700; 100][..], 64),
            (160, 64 << 20, &[700; 100], 10),
            (2048, 16 << 10, &[500; 100], 2),
            (2048, 64 << 20, &[5 << 20, 1], 1),
            (1, 64 << 20, &[700; 100], 1),
        ] {
            assert_eq!(Room::new(messages, bytes).portion(sizes.iter().copied()), portion);
        }
    }
}
