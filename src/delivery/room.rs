//! The bound of what is on its way, in messages and in bytes: to the broker, into the spool, to the quarantine.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for messages in flight. It is handed out in the order in which it was asked for.
///
/// A message that the broker never confirms keeps its room until its channel is given up; while that lasts,
/// requests wait here until their answer is owed, and memory does not grow.
#[derive(Debug)]
pub(super) struct Room {
    messages: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// Room for one message; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Taken {
    _message: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Room {
    pub(super) fn new(messages: usize, bytes: usize) -> Self {
        Self { messages: Arc::new(Semaphore::new(messages)), bytes: Arc::new(Semaphore::new(bytes)) }
    }

    /// Waits for room for a message of `bytes`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes nothing.
    pub(super) async fn take(&self, bytes: usize) -> Taken {
        let message = Arc::clone(&self.messages).acquire_owned().await;
        // The configuration keeps the room in bytes below 4 GiB and no smaller than the largest body.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(bytes).await;
        let open = "these semaphores are never closed";
        Taken { _message: message.expect(open), _bytes: bytes.expect(open) }
    }

    /// Room that is there now, if there is any.
    pub(super) fn try_take(&self, bytes: usize) -> Option<Taken> {
        let message = Arc::clone(&self.messages).try_acquire_owned().ok()?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
        Some(Taken { _message: message, _bytes: bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_and_bytes_are_both_bounded_and_come_back() {
        let room = Room::new(2, 100);
        let one = room.take(60).await;
        assert!(room.try_take(60).is_none(), "bytes");
        let two = room.take(40).await;
        drop(one);
        assert!(room.try_take(60).is_some());
        let three = room.take(1).await;
        assert!(room.try_take(1).is_none(), "messages");
        drop((two, three));
        assert!(room.try_take(100).is_some());
    }
}
