//! `server.public_url`: what Graph is told to call.

use std::fmt;

/// An https:// URL that Graph could call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicUrl(url::Url);

/// Why a text is no such URL.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum BadPublicUrl {
    #[error("expected a URL such as \"https://hooks.example.com/graph/notifications\"")]
    NotUrl,
    #[error("Graph calls https:// URLs only")]
    NotHttps,
    #[error("without user, query and fragment, please")]
    Excess,
}

impl PublicUrl {
    pub(super) fn parse(text: &str) -> Result<Self, BadPublicUrl> {
        let url = url::Url::parse(text).map_err(|_| BadPublicUrl::NotUrl)?;
        if url.scheme() != "https" {
            return Err(BadPublicUrl::NotHttps);
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(BadPublicUrl::Excess);
        }
        Ok(Self(url))
    }

    /// Host, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        // The scheme has only URLs with a host.
        self.0.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// Port.
    pub fn port(&self) -> u16 {
        self.0.port().unwrap_or(443)
    }

    /// What stands in a request's header `Host`.
    pub fn authority(&self) -> &str {
        self.0.authority()
    }

    /// Path.
    pub fn path(&self) -> &str {
        self.0.path()
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_graph_can_call_is_taken_apart() {
        for (text, host, port, authority, path) in [
            ("https://hooks.example.com/graph", "hooks.example.com", 443, "hooks.example.com", "/graph"),
            ("https://Hooks.Example.com:8443", "hooks.example.com", 8443, "hooks.example.com:8443", "/"),
            ("https://[2001:db8::1]/a/b", "2001:db8::1", 443, "[2001:db8::1]", "/a/b"),
        ] {
            let url = PublicUrl::parse(text).expect(text);
            assert_eq!((url.host(), url.port()), (host, port));
            assert_eq!((url.authority(), url.path()), (authority, path));
        }
    }

    #[test]
    fn what_graph_cannot_call_is_refused() {
        for (text, why) in [
            ("hooks.example.com", BadPublicUrl::NotUrl),
            ("https://", BadPublicUrl::NotUrl),
            ("http://hooks.example.com/graph", BadPublicUrl::NotHttps),
            ("https://user@hooks.example.com/", BadPublicUrl::Excess),
            ("https://hooks.example.com/?code=x", BadPublicUrl::Excess),
            ("https://hooks.example.com/#x", BadPublicUrl::Excess),
        ] {
            assert_eq!(PublicUrl::parse(text), Err(why), "{text}");
        }
    }
}
