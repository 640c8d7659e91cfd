//! What one form differs in from another, as far as it matters what can be done about it.

use super::super::state::{Form, Kept};

/// What is different.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Difference {
    /// Nothing.
    None,
    /// Where notifications go: a PATCH moves it.
    Url,
    /// The certificate: a PATCH may change it ("Set up change notifications that include resource data", "Renew
    /// certificates"; the page on updates does not mention it).
    Encryption,
    /// What only another subscription can have.
    Other,
}

impl Difference {
    /// Between what is there and what should be.
    pub(super) fn between(kept: &Kept, form: &Form) -> Self {
        if kept.form == *form {
            return Self::None;
        }
        let moved = Form { notification_url: form.notification_url.clone(), ..kept.form.clone() };
        let rotated = Form { encryption: form.encryption.clone(), ..moved.clone() };
        let is_rotatable =
            kept.form.encryption.is_some() && form.encryption.is_some() && !kept.is_unrotatable;
        if rotated != *form || moved != *form && !is_rotatable {
            Self::Other
        } else if kept.form.notification_url != form.notification_url {
            Self::Url
        } else {
            Self::Encryption
        }
    }
}
