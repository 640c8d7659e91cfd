//! Method and path → what the request is about. Pure.

use hyper::Method;

/// Path of the health check on the public listener.
pub const HEALTH: &str = "/healthz";

/// What a request of the public listener is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Target {
    /// A POST to one of the configured paths: a handshake or notifications.
    Webhook,
    /// Is the process alive?
    Health,
    /// A known path with another method; the methods it knows.
    WrongMethod(&'static str),
    /// Nothing here.
    Nowhere,
}

/// Finds the target. Paths match exactly, bytes for bytes.
pub(super) fn target(method: &Method, path: &str, paths: &[String]) -> Target {
    let is_post = *method == Method::POST;
    let is_read = *method == Method::GET || *method == Method::HEAD;
    match (paths.iter().any(|known| known == path), path == HEALTH) {
        (true, _) if is_post => Target::Webhook,
        (true, _) => Target::WrongMethod("POST"),
        (false, true) if is_read => Target::Health,
        (false, true) => Target::WrongMethod("GET, HEAD"),
        (false, false) => Target::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_match_exactly() {
        let paths = ["/graph/notifications".to_owned(), "/graph/lifecycle".to_owned()];
        for (method, path, expected) in [
            (Method::POST, "/graph/notifications", Target::Webhook),
            (Method::POST, "/graph/lifecycle", Target::Webhook),
            (Method::GET, "/graph/lifecycle", Target::WrongMethod("POST")),
            (Method::POST, "/graph/notifications/", Target::Nowhere),
            (Method::POST, "/Graph/notifications", Target::Nowhere),
            (Method::POST, "/", Target::Nowhere),
            (Method::GET, "/healthz", Target::Health),
            (Method::HEAD, "/healthz", Target::Health),
            (Method::POST, "/healthz", Target::WrongMethod("GET, HEAD")),
        ] {
            assert_eq!(target(&method, path, &paths), expected, "{method} {path}");
        }
    }
}
