//! What a confirm says about which message. Pure.
//!
//! Lapin hangs a returned message on whichever confirm it completes next, not on its own, and completes the
//! confirms of one acknowledgement of many in any order. But it hands returned messages out first come, first
//! served, and RabbitMQ returns a message before it acknowledges it. So when the confirm of a returned message
//! comes out here, its return has come out with it or before it, on its own confirm or on another one. And a
//! confirm that carries a message is no proof for its own: that one's return may wait behind.

use std::collections::HashMap;

use crate::notification::id::MessageId;

/// A confirm of the broker, with the id of the returned message that it carries, if any.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Confirm {
    Ack(Option<MessageId>),
    Nack(Option<MessageId>),
}

/// What a confirm means for its own message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// In a queue.
    Confirmed,
    /// The broker could not take it.
    Nacked,
    /// No queue is bound for it.
    Returned,
    /// It carried another message's return: publish it again.
    Unknown,
}

/// The messages in flight on one channel, by id.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    /// How many messages of an id are in flight.
    in_flight: HashMap<MessageId, usize>,
    /// Ids that came back, with how many messages in flight may be meant.
    returned: HashMap<MessageId, usize>,
}

impl Confirms {
    /// A message goes out.
    pub(super) fn launched(&mut self, id: &MessageId) {
        *self.in_flight.entry(id.clone()).or_default() += 1;
        // While it is open which message of this id came back, a further one is under suspicion as well.
        if let Some(suspects) = self.returned.get_mut(id) {
            *suspects += 1;
        }
    }

    /// Notes the returned message that a confirm carries, whosever it is. All messages in flight that share its
    /// id are taken for returned: too many rather than one too few. Of confirms that are ready together, all
    /// are noted before the first is judged.
    ///
    /// A message that was published again may come back once more after it has been settled: that says nothing.
    pub(super) fn note(&mut self, confirm: &Confirm) {
        let (Confirm::Ack(Some(id)) | Confirm::Nack(Some(id))) = confirm else { return };
        if let Some(&in_flight) = self.in_flight.get(id) {
            self.returned.insert(id.clone(), in_flight);
        }
    }

    /// What a confirm means for the message it belongs to.
    pub(super) fn judge(&self, id: &MessageId, confirm: &Confirm) -> Verdict {
        match confirm {
            _ if self.returned.contains_key(id) => Verdict::Returned,
            Confirm::Ack(None) => Verdict::Confirmed,
            Confirm::Ack(Some(_)) => Verdict::Unknown,
            Confirm::Nack(_) => Verdict::Nacked,
        }
    }

    /// A message is settled, or given up.
    pub(super) fn settled(&mut self, id: &MessageId) {
        take_one(&mut self.in_flight, id);
        take_one(&mut self.returned, id);
    }

    /// How many messages are in flight.
    pub(super) fn len(&self) -> usize {
        self.in_flight.values().sum()
    }
}

fn take_one(counts: &mut HashMap<MessageId, usize>, id: &MessageId) {
    if let Some(count) = counts.get_mut(id) {
        *count -= 1;
        if *count == 0 {
            counts.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> MessageId {
        MessageId::given(text).expect("an id")
    }

    #[track_caller]
    fn check(launched: &[&str], landed: &[(&str, Confirm)], expected: &[Verdict]) {
        let mut confirms = Confirms::default();
        for text in launched {
            confirms.launched(&id(text));
        }
        for (_, confirm) in landed {
            confirms.note(confirm);
        }
        let mut judge = |text: &str, confirm: &Confirm| {
            let verdict = confirms.judge(&id(text), confirm);
            if verdict != Verdict::Unknown {
                confirms.settled(&id(text));
            }
            verdict
        };
        let verdicts: Vec<Verdict> = landed.iter().map(|(text, confirm)| judge(text, confirm)).collect();
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn a_return_may_hang_on_any_confirm() {
        use Confirm::{Ack, Nack};
        use Verdict::{Confirmed, Nacked, Returned, Unknown};
        check(&["a"], &[("a", Ack(None))], &[Confirmed]);
        check(&["a"], &[("a", Ack(Some(id("a"))))], &[Returned]);
        check(&["a"], &[("a", Nack(None))], &[Nacked]);
        check(&["a", "b"], &[("b", Ack(Some(id("a")))), ("a", Ack(None))], &[Unknown, Returned]);
        check(&["a", "b"], &[("a", Ack(None)), ("b", Ack(Some(id("a"))))], &[Returned, Unknown]);
        check(&["a", "b"], &[("b", Nack(Some(id("a")))), ("a", Ack(None))], &[Nacked, Returned]);
        check(&["a", "a"], &[("a", Ack(Some(id("a")))), ("a", Ack(None))], &[Returned, Returned]);
    }

    #[test]
    fn a_message_of_a_suspect_id_is_a_suspect() {
        let mut confirms = Confirms::default();
        confirms.launched(&id("a"));
        confirms.launched(&id("b"));
        confirms.note(&Confirm::Ack(Some(id("a"))));
        confirms.launched(&id("a"));
        for _ in 0..2 {
            assert_eq!(confirms.judge(&id("a"), &Confirm::Ack(None)), Verdict::Returned);
            confirms.settled(&id("a"));
        }
        assert_eq!(confirms.len(), 1);
    }

    #[test]
    fn what_comes_back_after_it_was_settled_says_nothing() {
        let mut confirms = Confirms::default();
        confirms.note(&Confirm::Ack(Some(id("a"))));
        confirms.launched(&id("a"));
        assert_eq!(confirms.judge(&id("a"), &Confirm::Ack(None)), Verdict::Confirmed);
    }

    /// A channel as lapin and RabbitMQ make it: acknowledgements of one or of many, worked off in any order, each
    /// taking the oldest returned message that waits.
    #[derive(Debug, Default)]
    struct Channel {
        pending: Vec<(MessageId, bool)>,
        waiting: VecDeque<MessageId>,
        landed: Vec<(MessageId, bool, Confirm)>,
    }

    impl Channel {
        fn publish(&mut self, message: (MessageId, bool)) {
            if !message.1 {
                self.waiting.push_back(message.0.clone());
            }
            self.pending.push(message);
        }

        /// Acknowledges the first `many` of the pending messages together, in an order made from `order`; or, if
        /// that is one, any one of them: queues confirm at their own pace.
        fn acknowledge(&mut self, many: usize, order: u64) {
            let many = many.min(self.pending.len());
            let from = if many == 1 { order as usize % self.pending.len() } else { 0 };
            let mut group: Vec<_> = self.pending.drain(from..from + many).collect();
            let mut order = order;
            while !group.is_empty() {
                order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let index = (order >> 33) as usize % group.len();
                let (id, routable) = group.swap_remove(index);
                self.landed.push((id, routable, Confirm::Ack(self.waiting.pop_front())));
            }
        }
    }

    proptest! {
        /// Whatever the order: nothing unroutable counts as confirmed, everything routable with an id of its own
        /// is confirmed in the end, and nothing is left over.
        #[test]
        fn no_returned_message_counts_as_confirmed(
            messages in proptest::collection::vec((0_u8..40, any::<bool>()), 1..60),
            steps in proptest::collection::vec((1_usize..6, any::<u64>(), any::<bool>()), 400),
        ) {
            let mut channel = Channel::default();
            let mut confirms = Confirms::default();
            let mut confirmed = Vec::new();
            let unroutable: Vec<u8> = messages.iter().filter(|(_, routable)| !routable).map(|(n, _)| *n).collect();
            for (number, routable) in &messages {
                confirms.launched(&id(&number.to_string()));
                channel.publish((id(&number.to_string()), *routable));
            }
            for (many, order, look) in steps {
                channel.acknowledge(many, order);
                if !look {
                    continue;
                }
                let landed = std::mem::take(&mut channel.landed);
                for (_, _, confirm) in &landed {
                    confirms.note(confirm);
                }
                for (own, routable, confirm) in landed {
                    match confirms.judge(&own, &confirm) {
                        Verdict::Unknown => channel.publish((own, routable)),
                        verdict @ (Verdict::Confirmed | Verdict::Nacked | Verdict::Returned) => {
                            prop_assert!(verdict != Verdict::Confirmed || routable, "{:?}", own);
                            if verdict == Verdict::Confirmed {
                                confirmed.push(own.as_str().to_owned());
                            }
                            confirms.settled(&own);
                        }
                    }
                }
            }
            prop_assert_eq!(confirms.len(), 0);
            for (number, routable) in &messages {
                if *routable && !unroutable.contains(number) {
                    prop_assert!(confirmed.contains(&number.to_string()));
                }
            }
        }
    }
}
