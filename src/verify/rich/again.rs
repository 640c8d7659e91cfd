//! A second judgement on items with resource data, when the tokens of their POST are gone. Pure: no I/O, no clock.

use bytes::Bytes;

use super::{is_sealed, place};
use crate::{
    config::{self, Deliver, RichKey},
    verify::{Authentic, Reason, Resource, Verified, decrypt::Parcel},
};

/// Judges by `[rich]` once more, or by what was found when there was one.
#[derive(Debug)]
pub struct Again {
    config: Option<config::Rich>,
    unvouched: Unvouched,
}

/// What becomes of items that no token has ever vouched for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unvouched {
    /// They stay refused: who knows a clientState could have made them up.
    Refused,
    /// Somebody answers for them.
    Passed,
}

impl Again {
    /// A judge of this configuration.
    pub fn new(config: Option<config::Rich>, unvouched: Unvouched) -> Self {
        Self { config, unvouched }
    }

    /// Judges the items that have resource data, and leaves the others as they are. `earlier` is why they were refused
    /// before, `body` what they were read from.
    pub fn judge<'a>(&self, verified: Verified<'a>, body: &Bytes, earlier: Option<Reason>) -> Verified<'a> {
        verified.refuse(|item| self.item(item, body, earlier).err())
    }

    fn item(&self, item: &mut Authentic<'_>, body: &Bytes, earlier: Option<Reason>) -> Result<(), Reason> {
        if !is_sealed(item) {
            return Ok(());
        }
        let Some(config) = &self.config else {
            // Nobody looks at tokens any more; but what one has shown is not forgotten.
            return match (self.unvouched, earlier) {
                (Unvouched::Refused, Some(reason @ (Reason::MissingToken | Reason::BadToken))) => Err(reason),
                (Unvouched::Refused | Unvouched::Passed, _) => Ok(()),
            };
        };
        let tenant = item.notification.tenant_id.as_deref().unwrap_or_default().to_ascii_lowercase();
        if !config.expectations.tenants.contains(&tenant) {
            return Err(Reason::BadToken);
        }
        match (self.unvouched, why_unvouched(earlier)) {
            (Unvouched::Refused, Some(reason)) => return Err(reason),
            (Unvouched::Passed, Some(_)) | (_, None) => {}
        }
        match config.deliver {
            Deliver::Sealed => Ok(()),
            Deliver::Opened => open(&config.keys, item, body),
        }
    }
}

fn open(keys: &[RichKey], item: &mut Authentic<'_>, body: &Bytes) -> Result<(), Reason> {
    let content = item.notification.sealed.and_then(|sealed| sealed.read());
    let content = content.ok_or(Reason::Undecryptable)?;
    let key = place(keys, &content).ok_or(Reason::UnknownKey)?;
    let opened = Parcel::of(&content, body).and_then(|parcel| parcel.open(&keys[key].private_key));
    item.resource = Resource::Opened(opened.map_err(|_| Reason::Undecryptable)?);
    Ok(())
}

/// Decryption comes after the tokens, and the clientState before them: the reason of then tells whether one was valid.
fn why_unvouched(earlier: Option<Reason>) -> Option<Reason> {
    match earlier {
        Some(Reason::UnknownKey | Reason::Undecryptable) => None,
        Some(Reason::BadToken) => Some(Reason::BadToken),
        Some(
            Reason::Malformed
            | Reason::Missing
            | Reason::UnknownSubscription
            | Reason::Mismatch
            | Reason::MissingToken,
        )
        | None => Some(Reason::MissingToken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{ClientState, Environment, load_text},
        notification::Batch,
        secret::Secret,
        verify::Verifier,
    };

    const TENANT: &str = "8afd02d6-ebdd-4270-a515-c749898ea5c5";

    /// What becomes of an item with these members, with `deliver = "sealed"`.
    fn judged(members: &str, unvouched: Unvouched, earlier: Option<Reason>) -> Result<(), Reason> {
        judged_by(|rich| rich, members, unvouched, earlier)
    }

    fn judged_by(
        change: fn(Option<config::Rich>) -> Option<config::Rich>,
        members: &str,
        unvouched: Unvouched,
        earlier: Option<Reason>,
    ) -> Result<(), Reason> {
        let text = format!(
            "[rich]\ndeliver = \"sealed\"\napp_ids = [\"{TENANT}\"]\ntenants = [\"{TENANT}\"]\n\
             [[client_states]]\nname = \"a\"\nsecret = \"hunter2\"\n"
        );
        let config = load_text("x", &text, &Environment::default()).expect("right").config;
        let entry =
            ClientState { secret: Secret::new("hunter2".to_owned()), ..config.client_states[0].clone() };
        let item = format!(r#"{{"subscriptionId":"s","clientState":"hunter2",{members}}}"#);
        let body = Bytes::from(format!(r#"{{"value":[{item}]}}"#));
        let verified = Verifier::new(&[entry]).verify(Batch::parse(&body, 1).expect("a batch"));
        let again = Again::new(change(config.rich), unvouched);
        let verified = again.judge(verified, &body, earlier);
        assert_eq!(verified.len(), 1);
        verified.refused().first().map_or(Ok(()), |refused| Err(refused.reason))
    }

    #[test]
    fn the_reason_of_then_tells_whether_a_token_was_valid() {
        let sealed = format!(r#""tenantId":"{}","encryptedContent":{{}}"#, TENANT.to_uppercase());
        let known = |reason| match reason {
            Reason::UnknownKey | Reason::Undecryptable => Ok(()),
            Reason::BadToken => Err(Reason::BadToken),
            Reason::Malformed
            | Reason::Missing
            | Reason::UnknownSubscription
            | Reason::Mismatch
            | Reason::MissingToken => Err(Reason::MissingToken),
        };
        for reason in Reason::ALL {
            let expected = known(reason);
            assert_eq!(judged(&sealed, Unvouched::Refused, Some(reason)), expected, "{reason:?}");
            assert_eq!(judged(&sealed, Unvouched::Passed, Some(reason)), Ok(()), "{reason:?}");
        }
        assert_eq!(judged(&sealed, Unvouched::Refused, None), Err(Reason::MissingToken));
    }

    #[test]
    fn a_tenant_that_is_not_ours_stays_out_in_any_case() {
        for sealed in [r#""tenantId":"x","encryptedContent":{}"#, r#""encryptedContent":{}"#] {
            for reason in Reason::ALL {
                assert_eq!(
                    judged(sealed, Unvouched::Passed, Some(reason)),
                    Err(Reason::BadToken),
                    "{reason:?}"
                );
            }
        }
    }

    #[test]
    fn what_has_no_resource_data_needs_no_token() {
        for plain in [r#""tenantId":"x""#, r#""tenantId":"x","encryptedContent":null"#] {
            assert_eq!(judged(plain, Unvouched::Refused, Some(Reason::Mismatch)), Ok(()));
        }
    }

    #[test]
    fn what_a_token_has_shown_is_not_forgotten_when_nobody_looks_at_tokens_any_more() {
        let sealed = r#""tenantId":"x","encryptedContent":{}"#;
        for reason in Reason::ALL {
            let shown = matches!(reason, Reason::MissingToken | Reason::BadToken);
            let expected = if shown { Err(reason) } else { Ok(()) };
            assert_eq!(judged_by(|_| None, sealed, Unvouched::Refused, Some(reason)), expected, "{reason:?}");
            assert_eq!(judged_by(|_| None, sealed, Unvouched::Passed, Some(reason)), Ok(()), "{reason:?}");
        }
        assert_eq!(judged_by(|_| None, sealed, Unvouched::Refused, None), Ok(()));
    }
}
