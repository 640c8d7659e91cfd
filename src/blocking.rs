//! Work that waits for a disk: on a thread of its own, because disks may hang, and nothing else shall.

use tokio::task;

/// Does it, and panics where it does.
pub(crate) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
