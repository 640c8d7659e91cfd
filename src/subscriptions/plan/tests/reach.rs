//! Whatever has happened, the plans lead to what is wanted; and then there is nothing left to do.

use std::iter;

use proptest::{collection::vec, prelude::*};

use super::{
    super::*,
    model::{Fault, Model},
    time,
};
use crate::config::{ChangeType, Encryption};

/// What may happen.
#[derive(Clone, Debug)]
enum Event {
    /// The configuration is another.
    Configure(Vec<Spec>),
    /// The daemon works, and dies in the call that fails.
    Work(Vec<Fault>),
    /// Time passes.
    Pass(u64),
    /// Graph loses the subscription of this index.
    Lose(prop::sample::Index),
    /// Graph has the subscription of this index twice.
    Double(prop::sample::Index),
    /// Somebody moves the subscription of this index.
    Move(prop::sample::Index),
    /// The file is lost.
    Forget,
    /// The file is as it was at the last such moment.
    Restore,
    /// Graph wants a fresh token.
    Challenge(prop::sample::Index),
    /// Graph says that one is gone, which may be so.
    Remove(prop::sample::Index, bool),
    /// A stranger's comes.
    Stranger(u8),
    /// The next list lacks something.
    Lag,
}

/// A wanted subscription.
#[derive(Clone, Copy, Debug)]
struct Spec {
    name: u8,
    resource: u8,
    deleted: bool,
    url: u8,
    lifecycle: u8,
    entry: Option<u8>,
    encryption: Option<u8>,
}

impl Spec {
    fn wanted(self) -> Wanted {
        let key = |id: u8| Encryption { id: format!("key-{id}"), certificate: String::new() };
        Wanted {
            change_types: vec![if self.deleted { ChangeType::Deleted } else { ChangeType::Created }],
            notification_url: format!("https://hooks.example/{}", self.url),
            lifecycle_url: format!("https://hooks.example/life/{}", self.lifecycle),
            client_state: self.entry.map(|entry| format!("entry-{entry}")),
            encryption: self.encryption.map(key),
            ..super::wanted(&format!("name-{}", self.name), &format!("/r/{}", self.resource))
        }
    }
}

fn spec() -> impl Strategy<Value = Spec> {
    let parts = (0..4_u8, 0..4_u8, any::<bool>(), 0..2_u8, 0..2_u8);
    let options = (prop::option::of(0..2_u8), prop::option::of(0..2_u8));
    (parts, options).prop_map(|((name, resource, deleted, url, lifecycle), (entry, encryption))| Spec {
        name,
        resource,
        deleted,
        url,
        lifecycle,
        entry,
        encryption,
    })
}

fn event() -> impl Strategy<Value = Event> {
    let index = any::<prop::sample::Index>;
    let fault = prop_oneof![8 => Just(Fault::None), 1 => Just(Fault::Before), 1 => Just(Fault::After)];
    prop_oneof![
        3 => vec(spec(), 0..4).prop_map(Event::Configure),
        8 => vec(fault, 0..12).prop_map(Event::Work),
        4 => (1..90_000_u64).prop_map(Event::Pass),
        2 => (1..700_u64).prop_map(Event::Pass),
        1 => index().prop_map(Event::Lose),
        1 => index().prop_map(Event::Double),
        1 => index().prop_map(Event::Move),
        1 => Just(Event::Forget),
        1 => Just(Event::Restore),
        3 => index().prop_map(Event::Challenge),
        1 => (index(), any::<bool>()).prop_map(|(index, is_true)| Event::Remove(index, is_true)),
        1 => any::<u8>().prop_map(Event::Stranger),
        1 => Just(Event::Lag),
    ]
}

/// A world in which events happen.
struct World {
    model: Model,
    strangers: Vec<Subscription>,
    backup: State,
}

impl World {
    fn new(shows: bool, rotates: bool) -> Self {
        let mut model = Model::new();
        (model.shows, model.rotates) = (shows, rotates);
        let entry = |n: u8| ClientState {
            name: format!("entry-{n}"),
            secret: Secret::new(format!("configured {n}")),
            subscriptions: HashSet::new(),
            tenants: HashSet::new(),
            silent_after: None,
        };
        model.table = vec![entry(0), entry(1)];
        Self { model, strangers: Vec::new(), backup: State::default() }
    }

    fn happen(&mut self, event: &Event) {
        let model = &mut self.model;
        let pick = |model: &Model, index: &prop::sample::Index| {
            let ours = || model.graph.iter().filter(|one| one.application_id.as_deref() == Some("app"));
            let many = ours().count();
            (many > 0).then(|| ours().nth(index.index(many)).map(|one| one.id.clone())).flatten()
        };
        match event {
            Event::Configure(specs) => {
                let mut wanted = Vec::<Wanted>::new();
                for one in specs.iter().map(|spec| spec.wanted()) {
                    let form = Form::of(&one);
                    let is_taken =
                        |other: &Wanted| other.name == one.name || Form::of(other).shares_place_with(&form);
                    if !wanted.iter().any(is_taken) {
                        wanted.push(one);
                    }
                }
                model.wanted = wanted;
            }
            Event::Work(faults) => _ = model.settle(&mut faults.iter().copied()),
            Event::Pass(seconds) => model.now += seconds,
            Event::Lose(index) => {
                if let Some(id) = pick(model, index) {
                    model.graph.retain(|one| one.id != id);
                }
            }
            Event::Double(index) => {
                if let Some(id) = pick(model, index) {
                    let fresh = model.fresh_id();
                    let double = model.graph.iter().find(|one| one.id == id).cloned();
                    model.graph.extend(double.map(|double| Subscription { id: fresh, ..double }));
                }
            }
            Event::Move(index) => {
                let id = pick(model, index);
                // What nobody knows any more would be a stranger's at another address, in our way for ever.
                let known = id.filter(|id| model.state.with_id(id).is_some());
                for one in &mut model.graph {
                    if known.as_ref() == Some(&one.id) {
                        one.notification_url = "https://hooks.example/moved".to_owned();
                    }
                }
            }
            // With the file goes what it knew of the last calls.
            Event::Forget => (model.state, model.touches) = Default::default(),
            Event::Restore => {
                std::mem::swap(&mut model.state, &mut self.backup);
                model.touches.clear();
            }
            Event::Challenge(index) => model.calls.challenged.extend(pick(model, index)),
            Event::Remove(index, is_true) => {
                let id = pick(model, index);
                model.graph.retain(|one| !is_true || Some(&one.id) != id.as_ref());
                model.calls.removed.extend(id);
            }
            Event::Stranger(n) => {
                let id = model.fresh_id();
                let spec = Spec {
                    name: 0,
                    resource: n % 4,
                    deleted: n & 4 > 0,
                    url: n & 1,
                    lifecycle: 0,
                    entry: None,
                    encryption: None,
                };
                let app = Some("another".to_owned());
                let far = time(u32::MAX.into());
                let stranger = super::shown(&id, &spec.wanted());
                let stranger = Subscription { application_id: app, expiration_date_time: far, ..stranger };
                model.graph.push(stranger.clone());
                self.strangers.push(stranger);
            }
            Event::Lag => model.lists_lag = 1,
        }
    }

    /// Nothing of ours that nobody knows may stand where another URL is wanted: it would be a stranger's to us.
    fn without_lost_addresses(&mut self) {
        let model = &mut self.model;
        let (wanted, state) = (&model.wanted, &model.state);
        model.graph.retain(|one| {
            let is_ours = one.application_id.as_deref() == Some("app");
            let is_known =
                state.with_id(&one.id).is_some() || state.former.iter().any(|former| former.id == one.id);
            let is_wanted_here = |wanted: &Wanted| wanted.notification_url == one.notification_url;
            let is_in_the_way =
                wanted.iter().any(|wanted| Form::of(wanted).is_place_of(one) && !is_wanted_here(wanted));
            !is_ours || is_known || !is_in_the_way
        });
    }

    /// Works for as long as there is something to wait for, without a fault.
    fn come_to_rest(&mut self) {
        self.model.lists_lag = 0;
        for _ in 0..4 {
            self.model.settle(&mut iter::empty());
            self.model.now += 700;
        }
        self.model.calls = Calls::default();
        self.model.settle(&mut iter::empty());
    }
}

fn is_served(model: &Model, wanted: &Wanted) -> Result<(), String> {
    let (form, state) = (Form::of(wanted), &model.state);
    let there: Vec<&Subscription> = model
        .graph
        .iter()
        .filter(|one| form.is_place_of(one) && one.application_id.as_deref() == Some("app"))
        .collect();
    let [one] = there[..] else { return Err(format!("{} in its place: {there:?}", there.len())) };
    let kept = state.named(&wanted.name).ok_or("it is not kept")?;
    let live = kept.live().ok_or("it is not live")?;
    let is_right = live.id == one.id
        && one.client_state.as_ref() == Some(&kept.client_state)
        && one.notification_url == wanted.notification_url
        && one.lifecycle_notification_url.as_ref() == Some(&wanted.lifecycle_url)
        && one.encryption_certificate_id == form.encryption;
    if is_right { Ok(()) } else { Err(format!("{one:?} for {kept:?}")) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_history_ends_with_what_is_wanted(
        events in vec(event(), 0..40),
        (shows, rotates) in any::<(bool, bool)>(),
    ) {
        let mut world = World::new(shows, rotates);
        for event in &events {
            world.happen(event);
        }
        world.without_lost_addresses();
        world.come_to_rest();
        let plan = world.model.plan();
        prop_assert!(plan.steps.is_empty(), "still to do: {:?}", plan.steps);
        let model = &world.model;
        for wanted in &model.wanted {
            prop_assert_eq!(is_served(model, wanted), Ok(()), "{}", wanted.name);
        }
        prop_assert_eq!(model.state.kept.len(), model.wanted.len());
        for stranger in &world.strangers {
            let there = model.graph.iter().find(|one| one.id == stranger.id);
            prop_assert_eq!(format!("{there:?}"), format!("{:?}", Some(stranger)));
        }
        for (id, touches) in &model.touches {
            for (index, (kind, at)) in touches.iter().enumerate() {
                let mixed = touches[..index].iter().find(|(other, then)| other != kind && at - then < 600);
                prop_assert!(mixed.is_none(), "{id:?}: {touches:?}");
            }
        }
    }
}
