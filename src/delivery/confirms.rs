//! What a confirm says about which messages: those in flight on one channel, by delivery tag. Pure.
//!
//! RabbitMQ counts the messages of a channel from 1, and confirms them in any order, one by one or all up to one. One that it
//! cannot route it returns, and confirms it after that ("Publisher Confirms", <https://www.rabbitmq.com/docs/confirms>):
//! so when a confirm is read, it is known whether its message came back.

use std::{
    collections::{HashMap, VecDeque},
    mem,
};

use super::wire::frame::Confirmed;
use crate::notification::id::MessageId;

/// The messages in flight on one channel, in the order in which they were sent.
#[derive(Debug)]
pub(super) struct Confirms<T> {
    /// Tag of the first of `flights`.
    first: u64,
    /// Settled ones are empty, and the first is not.
    flights: VecDeque<Option<T>>,
    open: usize,
    returned: Returned,
}

/// Which messages came back: of each id those that had been sent by then. To look for them among all that are in flight would
/// take as long for each as for all, and all of a full window may come back.
#[derive(Debug, Default)]
struct Returned {
    /// The tag that came next then.
    next: HashMap<MessageId, u64>,
    /// The same, in the order in which they came back, so that what nobody in flight is meant by any more is forgotten.
    order: VecDeque<(u64, MessageId)>,
}

/// What can be asked of a message.
pub(super) trait Message {
    fn id(&self) -> &MessageId;
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// In a queue.
    Confirmed,
    /// The broker could not take it.
    Nacked,
    /// No queue is bound for it.
    Returned,
}

/// A confirm of a message that was never sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the broker confirms what was never sent")]
pub(super) struct NeverSent;

impl<T> Default for Confirms<T> {
    fn default() -> Self {
        Self { first: 1, flights: VecDeque::new(), open: 0, returned: Returned::default() }
    }
}

impl<T: Message> Confirms<T> {
    /// A message goes out.
    pub(super) fn launched(&mut self, message: T) {
        self.flights.push_back(Some(message));
        self.open += 1;
    }

    /// A message of this id came back. All in flight that share the id are taken for returned: too many rather than one too
    /// few. One that was settled before says nothing any more.
    pub(super) fn returned(&mut self, id: MessageId) -> Result<(), NeverSent> {
        if self.returned.order.len() >= RETURNED_MAX {
            return Err(NeverSent);
        }
        if self.open > 0 {
            self.returned.add(id, self.next());
        }
        Ok(())
    }

    /// Takes out those that are confirmed, each with what became of it; one that was taken out before is passed over.
    pub(super) fn settle(
        &mut self,
        confirmed: Confirmed,
        is_ack: bool,
        mut tell: impl FnMut(T, Verdict),
    ) -> Result<(), NeverSent> {
        let Confirmed { tag, is_multiple } = confirmed;
        let next = self.next();
        // "All up to 0" are all (AMQP 0-9-1, basic.ack).
        let last = if tag == 0 && is_multiple { next - 1 } else { tag };
        if tag >= next || last == 0 {
            return Err(NeverSent);
        }
        let Some(last) = last.checked_sub(self.first) else { return Ok(()) };
        let from = if is_multiple { 0 } else { last };
        for (tag, flight) in (self.first + from..).zip(self.flights.range_mut(from as usize..=last as usize))
        {
            let Some(message) = mem::take(flight) else { continue };
            self.open -= 1;
            let verdict = match (self.returned.has(tag, &message), is_ack) {
                (true, _) => Verdict::Returned,
                (false, true) => Verdict::Confirmed,
                (false, false) => Verdict::Nacked,
            };
            tell(message, verdict);
        }
        while let Some(None) = self.flights.front() {
            self.flights.pop_front();
            self.first += 1;
        }
        self.returned.forget_before(self.first);
        Ok(())
    }

    /// The one that has been in flight longest.
    pub(super) fn oldest(&self) -> Option<&T> {
        self.flights.front()?.as_ref()
    }

    /// Gives up on all of them, and says which it is if there was only one.
    pub(super) fn give_up(&mut self) -> Option<T> {
        self.first = self.next();
        self.returned = Returned::default();
        let mut open = self.flights.drain(..).flatten();
        let only = open.next().filter(|_| self.open == 1);
        self.open = 0;
        only
    }

    /// How many messages are in flight.
    pub(super) fn len(&self) -> usize {
        self.open
    }

    /// Tag of the next message.
    fn next(&self) -> u64 {
        self.first + self.flights.len() as u64
    }
}

impl Returned {
    fn add(&mut self, id: MessageId, next: u64) {
        if self.next.insert(id.clone(), next) != Some(next) {
            self.order.push_back((next, id));
        }
    }

    fn has(&self, tag: u64, message: &impl Message) -> bool {
        // Mostly nothing comes back, and nobody asks for ids.
        !self.next.is_empty() && self.next.get(message.id()).is_some_and(|next| tag < *next)
    }

    /// Nobody asks for earlier messages any more.
    fn forget_before(&mut self, first: u64) {
        while let Some((next, id)) = self.order.pop_front_if(|(next, _)| *next <= first) {
            // It may have come back once more since then.
            if self.next.get(&id) == Some(&next) {
                self.next.remove(&id);
            }
        }
    }
}

/// Far more than full windows can bring back: who returns so many returns what was never sent.
const RETURNED_MAX: usize = 1 << 19;

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::BTreeMap, rc::Rc};

    use proptest::prelude::*;

    use super::*;

    /// A message with its tag, so that a test sees which one it got; it counts how often it is asked for its id.
    #[derive(Debug)]
    struct Numbered {
        tag: u64,
        id: MessageId,
        asked: Rc<Cell<usize>>,
    }

    impl Numbered {
        fn new(tag: u64, id: MessageId) -> Self {
            Self { tag, id, asked: Rc::default() }
        }
    }

    impl Message for Numbered {
        fn id(&self) -> &MessageId {
            self.asked.set(self.asked.get() + 1);
            &self.id
        }
    }

    fn id(text: &str) -> MessageId {
        MessageId::given(text).expect("an id")
    }

    fn launched(ids: &[&str]) -> Confirms<Numbered> {
        let mut confirms = Confirms::default();
        for (tag, text) in (1..).zip(ids) {
            confirms.launched(Numbered::new(tag, id(text)));
        }
        confirms
    }

    type Settled = Result<Vec<(u64, Verdict)>, NeverSent>;

    fn settle(confirms: &mut Confirms<Numbered>, tag: u64, is_multiple: bool, is_ack: bool) -> Settled {
        let mut settled = Vec::new();
        confirms.settle(Confirmed { tag, is_multiple }, is_ack, |message, verdict| {
            settled.push((message.tag, verdict));
        })?;
        Ok(settled)
    }

    #[test]
    fn each_confirm_settles_what_it_names_and_nothing_twice() {
        use Verdict::{Confirmed, Nacked};
        let mut confirms = launched(&["a", "b", "c", "d", "e"]);
        assert_eq!(settle(&mut confirms, 2, false, true), Ok(vec![(2, Confirmed)]));
        assert_eq!(settle(&mut confirms, 2, false, true), Ok(vec![]));
        assert_eq!(settle(&mut confirms, 3, true, false), Ok(vec![(1, Nacked), (3, Nacked)]));
        assert_eq!(settle(&mut confirms, 1, true, true), Ok(vec![]));
        assert_eq!(confirms.oldest().map(|message| message.tag), Some(4));
        assert_eq!(settle(&mut confirms, 0, true, true), Ok(vec![(4, Confirmed), (5, Confirmed)]));
        assert_eq!((confirms.len(), confirms.oldest().is_none()), (0, true));
        for (tag, is_multiple) in [(6, false), (6, true), (0, false), (u64::MAX, true)] {
            assert_eq!(settle(&mut confirms, tag, is_multiple, true), Err(NeverSent));
        }
        assert_eq!(settle(&mut launched(&[]), 0, true, true), Err(NeverSent));
    }

    #[test]
    fn what_came_back_is_not_confirmed_nor_is_whatever_shares_its_id() {
        use Verdict::{Confirmed, Returned};
        let mut confirms = launched(&["a", "b", "a"]);
        confirms.returned(id("a")).expect("few");
        confirms.returned(id("nobody's")).expect("few");
        confirms.launched(Numbered::new(4, id("a")));
        let expected = vec![(1, Returned), (2, Confirmed), (3, Returned), (4, Confirmed)];
        assert_eq!(settle(&mut confirms, 4, true, true), Ok(expected), "the last came after the word");
    }

    #[test]
    fn a_whole_window_that_comes_back_takes_as_long_as_one_that_arrives() {
        let (mut confirms, asked) = (Confirms::default(), Rc::<Cell<usize>>::default());
        let many = 65_536;
        for tag in 1..=many {
            confirms
                .launched(Numbered { asked: Rc::clone(&asked), ..Numbered::new(tag, id(&tag.to_string())) });
        }
        for tag in 1..=many {
            confirms.returned(id(&tag.to_string())).expect("few");
        }
        let settled = settle(&mut confirms, 0, true, true).expect("they were sent");
        assert!(settled.iter().all(|(_, verdict)| *verdict == Verdict::Returned));
        assert_eq!((settled.len() as u64, asked.get() as u64), (many, many), "each is asked once");
    }

    #[test]
    fn what_came_back_is_remembered_no_longer_than_it_means_somebody() {
        let mut confirms = launched(&["first"]);
        for tag in 2..1000 {
            let name = tag.to_string();
            confirms.launched(Numbered::new(tag, id(&name)));
            confirms.returned(id(&name)).expect("few");
            confirms.returned(id(&name)).expect("few");
            settle(&mut confirms, tag - 1, true, true).expect("it was sent");
            let Returned { next, order } = &confirms.returned;
            assert!(next.len() <= 2 && order.len() <= 2, "{next:?} {order:?}");
        }
        settle(&mut confirms, 0, true, true).expect("they were sent");
        confirms.returned(id("nobody's")).expect("few");
        assert!(confirms.returned.next.is_empty() && confirms.returned.order.is_empty());
    }

    #[test]
    fn the_only_one_is_known_when_all_are_given_up() {
        let mut confirms = launched(&["a", "b"]);
        assert_eq!(settle(&mut confirms, 1, false, true).map(|settled| settled.len()), Ok(1));
        assert_eq!(confirms.give_up().map(|message| message.tag), Some(2));
        assert_eq!(confirms.len(), 0);
        assert!(launched(&["a", "b"]).give_up().is_none());
        assert!(launched(&[]).give_up().is_none());
    }

    proptest! {
        /// The same as a plain map of what is in flight, whatever comes.
        #[test]
        fn it_is_a_map_by_tag(
            steps in proptest::collection::vec((0_u8..6, 0_u64..40, any::<bool>(), any::<bool>()), 0..200),
        ) {
            let mut confirms = Confirms::default();
            let (mut model, mut next) = (BTreeMap::new(), 1_u64);
            for (kind, number, is_multiple, is_ack) in steps {
                match kind {
                    0..3 => {
                        let name = (number % 5).to_string();
                        confirms.launched(Numbered::new(next, id(&name)));
                        model.insert(next, (name, false));
                        next += 1;
                    }
                    3 => {
                        let name = (number % 5).to_string();
                        confirms.returned(id(&name)).expect("few");
                        model.values_mut().filter(|(own, _)| *own == name).for_each(|(_, back)| *back = true);
                    }
                    _ => {
                        let up_to = if number == 0 && is_multiple { next - 1 } else { number };
                        let from = if is_multiple { 0 } else { up_to };
                        if up_to == 0 || up_to >= next {
                            prop_assert_eq!(settle(&mut confirms, number, is_multiple, is_ack), Err(NeverSent));
                            continue;
                        }
                        let named: Vec<u64> = model.range(from..=up_to).map(|(tag, _)| *tag).collect();
                        let expected: Vec<_> = named.iter().map(|tag| {
                            let (_, is_back) = model.remove(tag).expect("it is there");
                            let other = if is_ack { Verdict::Confirmed } else { Verdict::Nacked };
                            (*tag, if is_back { Verdict::Returned } else { other })
                        }).collect();
                        prop_assert_eq!(settle(&mut confirms, number, is_multiple, is_ack), Ok(expected));
                    }
                }
                prop_assert_eq!(confirms.len(), model.len());
                prop_assert_eq!(confirms.oldest().map(|message| message.tag), model.keys().next().copied());
            }
        }
    }
}
