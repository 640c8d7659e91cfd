//! When a subscription is renewed, and how a challenge is answered. Pure.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, SystemTime},
};

use super::super::state::{Live, TOUCH_EVERY, Touch, TouchKind};

/// When it is renewed: at this percent of its life, a little sooner or later, so that what was made together is not renewed
/// together; and in any case some time before its end.
pub fn renewal(live: &Live, percent: u8) -> SystemTime {
    let life = life(live);
    if life.is_zero() {
        // The clock was set, and nobody knows how old it is.
        return SystemTime::UNIX_EPOCH;
    }
    let around = life.mul_f64((f64::from(percent) + spread(live)) / 100.0);
    let margin = (life / 10).clamp(MARGIN_MIN, MARGIN_MAX).min(life / 3);
    live.renewed_at + around.min(life - margin)
}

/// How a challenge is answered, if it is: by an early renewal when one is due soon, because both calls within ten minutes
/// would do harm; and not at all when one of them has just been made, for then it is the answer.
pub fn answer(touch: Option<Touch>, live: &Live, due: SystemTime, now: SystemTime) -> Option<TouchKind> {
    match touch {
        Some(touch) if touch.is_fresh(now) => (!touch.is_done).then_some(touch.kind),
        Some(_) | None => {
            let soon = (life(live) / 4).max(TOUCH_EVERY + MARGIN_MIN);
            let is_due_soon = due.duration_since(now).unwrap_or_default() <= soon;
            Some(if is_due_soon { TouchKind::Patch } else { TouchKind::Reauthorize })
        }
    }
}

fn life(live: &Live) -> Duration {
    live.expires_at.duration_since(live.renewed_at).unwrap_or_default()
}

/// Percent from -5 to 5: the same for this life whenever it is asked for.
fn spread(live: &Live) -> f64 {
    let mut hasher = DefaultHasher::new();
    (&*live.id, live.renewed_at).hash(&mut hasher);
    let draw = u32::try_from(hasher.finish() >> 32).unwrap_or(u32::MAX);
    f64::from(draw) / f64::from(u32::MAX) * 10.0 - 5.0
}

/// Time before the end in which nothing is put off any more.
const MARGIN_MIN: Duration = Duration::from_secs(2 * 60);
const MARGIN_MAX: Duration = Duration::from_secs(60 * 60);
