//! Taking everything that is ready out of a set of futures.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::stream::{FuturesUnordered, Stream};

/// Polls a set of futures until none is ready.
///
/// `FuturesUnordered` says `Pending` although more is ready: after two futures that were woken while they were
/// polled, after as many polls as it has futures, and while another thread is just waking one. It then wakes its
/// own task, which is how this tells such a pause from the end. Futures that wake themselves for ever, as tokio's
/// timers do in a task that is out of budget, would keep it here for ever: poll them unconstrained.
pub(super) struct Drain {
    paused: Arc<Flag>,
    waker: Waker,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Drain {
    pub(super) fn new() -> Self {
        let paused = Arc::new(Flag(AtomicBool::new(false)));
        Self { waker: Waker::from(Arc::clone(&paused)), paused }
    }

    /// Adds to `landed` whatever is ready. The caller polls the set again afterwards: its task must be the one
    /// that is woken next.
    pub(super) fn take_ready<F: Future>(
        &self,
        flights: &mut FuturesUnordered<F>,
        landed: &mut Vec<F::Output>,
    ) {
        let mut context = Context::from_waker(&self.waker);
        loop {
            self.paused.0.store(false, Ordering::Release);
            match Pin::new(&mut *flights).poll_next(&mut context) {
                Poll::Ready(Some(one)) => landed.push(one),
                Poll::Ready(None) => return,
                Poll::Pending if self.paused.0.load(Ordering::Acquire) => {}
                Poll::Pending => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::{FutureExt, future::BoxFuture};

    use super::*;

    /// Wakes itself `times` times before it is ready, as a future does whose wake-up comes while it is polled.
    fn busy(number: u32, times: u32) -> BoxFuture<'static, u32> {
        let mut left = times;
        poll_fn(move |context| {
            if left == 0 {
                return Poll::Ready(number);
            }
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .boxed()
    }

    #[test]
    fn everything_that_is_ready_comes_out_at_once() {
        let mut flights: FuturesUnordered<_> = (0..10).map(|number| busy(number, number % 4)).collect();
        flights.push(std::future::pending().boxed());
        let mut landed = Vec::new();
        Drain::new().take_ready(&mut flights, &mut landed);
        landed.sort_unstable();
        assert_eq!(landed, (0..10).collect::<Vec<_>>());
        assert_eq!(flights.len(), 1);
    }
}
