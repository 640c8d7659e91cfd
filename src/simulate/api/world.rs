//! All that the stand-in knows, behind one lock that nobody holds while waiting.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use serde_json::Value;

use super::{
    ApiError, Settings,
    calls::{Caller, Operation},
    clock::Clock,
    faults::{Fault, Faults, Trouble},
    journal::{Call, Journal, Sent},
    login::{Device, Waiting},
    receivers::Receivers,
    store::Store,
    subscription::Held,
    throttle::Throttle,
    tokens::{self, Checked, Grant},
};
use crate::{
    secret::Secret,
    simulate::{
        signing::{SigningKey, random_word},
        trust::Trust,
    },
};

/// All that the stand-in knows.
#[derive(Debug)]
pub(super) struct World {
    origin: String,
    pub(super) scheme: &'static str,
    pub(super) directory: Checked,
    pub(super) admits_plain_receivers: bool,
    pub(super) key: SigningKey,
    state: Mutex<State>,
}

/// What a world begins with.
pub(super) struct Parts {
    pub(super) origin: String,
    pub(super) scheme: &'static str,
    pub(super) directory: Checked,
    pub(super) receivers: Receivers,
    pub(super) admits_plain_receivers: bool,
    pub(super) settings: Settings,
    pub(super) key: SigningKey,
}

/// What changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    pub(super) store: Store,
    throttle: Throttle,
    receivers: Receivers,
    /// Refresh tokens that can still be redeemed, once.
    refresh: VecDeque<(Secret, Grant)>,
    devices: VecDeque<Device>,
}

impl World {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { origin, scheme, directory, receivers, admits_plain_receivers, settings, key } = parts;
        let state = State {
            clock: Clock::default(),
            settings,
            faults: Faults::default(),
            journal: Journal::default(),
            store: Store::default(),
            throttle: Throttle::default(),
            receivers,
            refresh: VecDeque::new(),
            devices: VecDeque::new(),
        };
        Self { origin, scheme, directory, admits_plain_receivers, key, state: Mutex::new(state) }
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Everything that changes; whoever takes it lets go of it before waiting for anything.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> SystemTime {
        self.state().clock.now()
    }

    pub(super) fn advance(&self, by: Duration) {
        self.state().clock.advance(by);
    }

    pub(super) fn settings(&self) -> Settings {
        self.state().settings.clone()
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.state().settings);
    }

    pub(super) fn receivers(&self) -> Receivers {
        self.state().receivers.clone()
    }

    pub(super) fn believe(&self, trust: &Trust) -> Result<(), ApiError> {
        let receivers = Receivers::new(trust)?;
        self.state().receivers = receivers;
        Ok(())
    }

    pub(super) fn fail(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    pub(super) fn heal(&self) {
        self.state().faults.clear();
    }

    pub(super) fn trouble(&self, operation: Operation) -> Option<Trouble> {
        self.state().faults.take(operation)
    }

    /// Seconds after which a caller shall come again.
    pub(super) fn throttled(&self, operation: Operation, caller: &Caller) -> Option<u64> {
        let mut state = self.state();
        let (now, throttles) = (state.clock.now(), state.settings.throttles);
        state.throttle.count(operation, caller, now).filter(|_| throttles)
    }

    pub(super) fn begin(&self, call: Call) -> u64 {
        self.state().journal.begin(call)
    }

    pub(super) fn add(&self, number: u64, change: impl FnOnce(&mut Call)) {
        self.state().journal.add(number, change);
    }

    pub(super) fn record(&self, sent: Sent) {
        self.state().journal.send(sent);
    }

    pub(super) fn journal(&self) -> Vec<Call> {
        self.state().journal.calls()
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.state().journal.sent()
    }

    pub(super) fn forget(&self) {
        self.state().journal.clear();
    }

    pub(super) fn subscriptions(&self) -> Vec<Held> {
        let state = self.state();
        state.store.live(state.clock.now()).map(|kept| kept.held()).collect()
    }

    pub(super) fn lose(&self, id: &str) -> bool {
        let mut state = self.state();
        let now = state.clock.now();
        state.store.remove(id, now).is_some()
    }

    /// The answer with a new access token; `None` without random numbers.
    pub(super) fn issue(&self, grant: &Grant, now: SystemTime) -> Option<Value> {
        let lifetime = self.settings().token_lifetime;
        let token = tokens::access_token(&self.key, grant, &self.directory.roles, now, lifetime)?;
        Some(tokens::answer(&token, lifetime))
    }

    /// A refresh token for this; `None` without random numbers.
    pub(super) fn keep(&self, grant: Grant) -> Option<String> {
        let token = random_word()?;
        push(&mut self.state().refresh, (Secret::new(token.clone()), grant));
        Some(token)
    }

    /// What a refresh token is for; it is spent then.
    pub(super) fn redeem(&self, token: &str) -> Option<Grant> {
        let refresh = &mut self.state().refresh;
        let at = refresh.iter().position(|(kept, _)| kept.expose() == token)?;
        refresh.remove(at).map(|(_, grant)| grant)
    }

    /// Begins a sign-in elsewhere; returns the seconds between two questions.
    pub(super) fn begin_device(&self, code: &str, user_code: &str, grant: Grant, now: SystemTime) -> u64 {
        let mut state = self.state();
        let (polls, interval) = (state.settings.device_polls, state.settings.device_interval);
        push(&mut state.devices, Device::new(code, user_code, grant, polls, now));
        interval
    }

    /// What has been granted to a device; it is handed out once.
    pub(super) fn poll(&self, code: &str, now: SystemTime) -> Result<Grant, Waiting> {
        let devices = &mut self.state().devices;
        let at = devices.iter().position(|device| device.code.expose() == code).ok_or(Waiting::Unknown)?;
        devices.get_mut(at).ok_or(Waiting::Unknown)?.ask(now)?;
        devices.remove(at).map(|device| device.grant).ok_or(Waiting::Unknown)
    }

    pub(super) fn decide(&self, user_code: &str, is_approved: bool) -> bool {
        let devices = &mut self.state().devices;
        let device = devices.iter_mut().find(|device| device.user_code == user_code);
        device.map(|device| device.is_approved = Some(is_approved)).is_some()
    }
}

/// One more; the oldest goes when there are too many.
fn push<T>(kept: &mut VecDeque<T>, new: T) {
    if kept.len() == GRANTS_MAX {
        kept.pop_front();
    }
    kept.push_back(new);
}

/// Refresh tokens, and sign-ins that have begun.
const GRANTS_MAX: usize = 1_000;
