//! Tokens of apps, of users, and what is none.

use serde_json::{Value, json};

use super::*;

fn token(claims: &Value) -> Secret {
    Secret::new(format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string())))
}

fn read(claims: &Value) -> TokenClaims {
    TokenClaims::read(&token(claims)).expect("a JWT")
}

#[test]
fn apps_have_roles_and_users_scopes() {
    let app = read(
        &json!({ "roles": ["Mail.Read", "User.Read.All"], "appid": "app", "tid": "tenant", "exp": 1_790_852_400 }),
    );
    assert!(app.permits("mail.read") && !app.permits("Mail.ReadWrite") && !app.is_delegated());
    assert_eq!((app.app_id.as_deref(), app.tenant_id.as_deref()), (Some("app"), Some("tenant")));
    assert_eq!(app.expires_at, Some(at(Duration::from_secs(1_790_852_400))));
    let user = read(&json!({ "scp": "Presence.Read.All  User.Read", "azp": "app" }));
    assert!(user.permits("Presence.Read.All") && user.is_delegated());
    assert_eq!((user.app_id.as_deref(), user.scopes.len()), (Some("app"), 2));
}

#[test]
fn a_claim_of_another_type_spoils_no_other() {
    let odd =
        json!({ "roles": "Mail.Read", "scp": 7, "appid": null, "tid": ["t"], "exp": "soon", "azp": "app" });
    let expected = TokenClaims { app_id: Some("app".to_owned()), ..TokenClaims::default() };
    assert_eq!(read(&odd), expected);
    assert_eq!(read(&json!({ "exp": u64::MAX })).expires_at, Some(at(Duration::MAX)));
}

#[test]
fn what_is_no_jwt_cannot_be_read() {
    for text in ["", "opaque", "a.b", "a.!.c", "a.e30.c.d", "a.Nw.c"] {
        assert_eq!(TokenClaims::read(&Secret::new(text.to_owned())), None, "{text}");
    }
}
