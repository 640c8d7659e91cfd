//! What goes wrong, and how often.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use super::calls::Operation;

/// Has calls to come go wrong.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Fault {
    /// Which calls.
    pub operation: Operation,
    /// How many of them.
    pub times: u32,
    /// In which way.
    pub trouble: Trouble,
}

/// A way to go wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// Nothing is done, and this is answered.
    Status {
        /// 400 to 599.
        status: u16,
        /// Seconds in `Retry-After`.
        retry_after: Option<u64>,
        /// The code in the error; without it one that goes with the status.
        code: Option<String>,
    },
    /// The connection ends.
    Cut(Cut),
    /// It is done at once, and answered later by so much.
    Delay(Duration),
}

/// When a connection ends.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cut {
    /// Before anything is done.
    Before,
    /// In the middle of the answer.
    During,
    /// After everything is done, and before the answer.
    After,
}

impl Fault {
    /// The next call is answered so.
    pub fn status(operation: Operation, status: u16) -> Self {
        Self { operation, times: 1, trouble: Trouble::Status { status, retry_after: None, code: None } }
    }

    /// The next call is answered so, with `Retry-After`.
    pub fn status_retry_after(operation: Operation, status: u16, seconds: u64) -> Self {
        let trouble = Trouble::Status { status, retry_after: Some(seconds), code: None };
        Self { operation, times: 1, trouble }
    }

    /// The next call loses its connection.
    pub fn cut(operation: Operation, cut: Cut) -> Self {
        Self { operation, times: 1, trouble: Trouble::Cut(cut) }
    }

    /// The next call is done at once, and answered later.
    pub fn delay(operation: Operation, delay: Duration) -> Self {
        Self { operation, times: 1, trouble: Trouble::Delay(delay) }
    }

    /// The same for so many calls.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }
}

/// As it comes over HTTP.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    operation: Operation,
    #[serde(default = "once")]
    times: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<Cut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_milliseconds: Option<u64>,
}

fn once() -> u32 {
    1
}

impl TryFrom<Written> for Fault {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let Written { operation, times, status, retry_after, code, cut, delay_milliseconds } = written;
        let trouble = match (status, cut, delay_milliseconds) {
            (Some(status @ 400..=599), None, None) => Trouble::Status { status, retry_after, code },
            (Some(_), None, None) => return Err("status is 400 to 599"),
            (None, Some(cut), None) => Trouble::Cut(cut),
            (None, None, Some(delay)) => Trouble::Delay(Duration::from_millis(delay)),
            (_, _, _) => return Err("exactly one of status, cut and delayMilliseconds is needed"),
        };
        Ok(Self { operation, times, trouble })
    }
}

impl From<Fault> for Written {
    fn from(Fault { operation, times, trouble }: Fault) -> Self {
        let (status, retry_after, code, cut, delay) = match trouble {
            Trouble::Status { status, retry_after, code } => (Some(status), retry_after, code, None, None),
            Trouble::Cut(cut) => (None, None, None, Some(cut), None),
            Trouble::Delay(delay) => (None, None, None, None, Some(delay)),
        };
        let delay_milliseconds = delay.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        Self { operation, times, status, retry_after, code, cut, delay_milliseconds }
    }
}

/// What is still to go wrong, in order.
#[derive(Debug, Default)]
pub(super) struct Faults(VecDeque<Fault>);

impl Faults {
    /// One more; the oldest goes when there are too many.
    pub(super) fn push(&mut self, fault: Fault) {
        if fault.times == 0 {
            return;
        }
        if self.0.len() == FAULTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(fault);
    }

    /// What happens to a call now.
    pub(super) fn take(&mut self, operation: Operation) -> Option<Trouble> {
        let at = self.0.iter().position(|fault| fault.operation == operation)?;
        let fault = self.0.get_mut(at)?;
        let trouble = fault.trouble.clone();
        fault.times -= 1;
        if fault.times == 0 {
            self.0.remove(at);
        }
        Some(trouble)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn list(&self) -> Vec<Fault> {
        self.0.iter().cloned().collect()
    }
}

const FAULTS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_order_and_as_often_as_told() {
        let mut faults = Faults::default();
        faults.push(Fault::status(Operation::Create, 503).times(2));
        faults.push(Fault::cut(Operation::Create, Cut::After));
        faults.push(Fault::delay(Operation::List, Duration::from_secs(1)));
        faults.push(Fault::status(Operation::Get, 500).times(0));
        let unavailable = Some(Trouble::Status { status: 503, retry_after: None, code: None });
        assert_eq!(faults.take(Operation::Create), unavailable);
        assert_eq!(faults.take(Operation::Get), None);
        assert_eq!(faults.take(Operation::Create), unavailable);
        assert_eq!(faults.take(Operation::Create), Some(Trouble::Cut(Cut::After)));
        assert_eq!(faults.take(Operation::Create), None);
        assert_eq!(faults.list(), [Fault::delay(Operation::List, Duration::from_secs(1))]);
    }

    #[test]
    fn a_fault_says_one_thing() {
        for (text, is_right) in [
            (r#"{"operation":"create","status":503,"retryAfter":5,"times":2}"#, true),
            (r#"{"operation":"devicecode","cut":"during"}"#, true),
            (r#"{"operation":"list","delayMilliseconds":20}"#, true),
            (r#"{"operation":"create"}"#, false),
            (r#"{"operation":"create","status":201}"#, false),
            (r#"{"operation":"create","status":503,"cut":"after"}"#, false),
            (r#"{"operation":"destroy","status":503}"#, false),
            (r#"{"operation":"create","status":503,"retry_after":5}"#, false),
        ] {
            let fault = serde_json::from_str::<Fault>(text);
            assert_eq!(fault.is_ok(), is_right, "{text}: {fault:?}");
            if let Ok(fault) = fault {
                let again = serde_json::to_string(&fault).expect("JSON");
                assert_eq!(serde_json::from_str::<Fault>(&again).ok(), Some(fault), "{again}");
            }
        }
    }
}
