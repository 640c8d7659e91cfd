//! Whether a request is heard at all: who makes it, and whether every server on the way reads the same in it.

use std::net::Ipv6Addr;

use hyper::{
    HeaderMap, Request, Version,
    header::{HOST, HeaderValue, TRANSFER_ENCODING},
};

use super::{Standing, reply::Refusal};

/// Hears a request or refuses it.
pub(super) fn hear<B>(request: &Request<B>, standing: Standing) -> Result<(), Refusal> {
    match standing {
        Standing::Stranger => Err(Refusal::Stranger),
        Standing::Crowding => Err(Refusal::Crowding),
        Standing::Welcome if has_one_host(request) && has_one_end(request.headers()) => Ok(()),
        Standing::Welcome | Standing::Garbled => Err(Refusal::Garbled),
    }
}

/// HTTP/1.1 demands one `Host`, no more and no less (RFC 9112, 3.2): another server may go by another one.
fn has_one_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let is_good = hosts.next().map_or(request.version() != Version::HTTP_11, |host| is_host(host.as_bytes()));
    is_good && hosts.next().is_none()
}

/// A name or an address, perhaps with a port; nothing where the target has no authority.
fn is_host(value: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(value) else { return false };
    let (host, port) = match text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_address = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => is_name(host),
    };
    text.is_empty() || is_address && port.is_none_or(is_port)
}

/// The one transfer coding is `chunked`, said once: hyper undoes that one, and passes over whatever stands before it.
fn has_one_end(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(is_chunked) && codings.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses() {
        for good in [
            "",
            "h",
            "hooks.example.com",
            "hooks.example.com:8443",
            "192.0.2.7:1",
            "[::1]",
            "[2001:db8::1]:443",
            "a_b",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            ":443", "a b", "a,b", "a/b", "a@b", "h:", "h:port", "h:99999", "h:+1", "[::1", "::1", "[h]",
            "\u{e9}",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
