//! What systemd hears of us (`Type=notify`). Without systemd nobody listens.

use sd_notify::NotifyState;
use tracing::warn;

/// The sockets are open and requests are answered.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The configuration is being read again. Systemd wants to know since when, so that it can tell our answer from one
/// to an earlier reload (`Type=notify-reload`, from version 253 on).
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "no clock to tell systemd of"),
    }
}

/// The reload is over, well or not: either way requests are answered.
pub(super) fn reloaded(is_taken: bool) {
    let status = if is_taken { "serving" } else { "serving; the last reload was refused, see the log" };
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The stop has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing open requests")]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "systemd does not hear us");
    }
}
