//! Whom a request is made for, as proxies say in its headers.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;

use crate::network::Networks;

/// A header that leads to nobody: absent, garbled, or with a name instead of an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the proxies do not say who the client is")]
pub struct Nobody;

/// The client by `X-Forwarded-For`: the last address that is no trusted proxy. Who is left of it may be invented.
///
/// # Errors
///
/// [`Nobody`]
pub fn by_x_forwarded_for(headers: &HeaderMap, trusted: &Networks) -> Result<IpAddr, Nobody> {
    let values = headers.get_all(X_FORWARDED_FOR);
    let values: Vec<&str> =
        values.iter().map(|value| value.to_str().map_err(|_| Nobody)).collect::<Result<_, _>>()?;
    let hops = values.iter().flat_map(|value| value.split(',')).map(str::trim);
    last_stranger(hops.map(node), trusted)
}

/// The same by `Forwarded` (RFC 7239).
///
/// # Errors
///
/// [`Nobody`]
pub fn by_forwarded(headers: &HeaderMap, trusted: &Networks) -> Result<IpAddr, Nobody> {
    let mut hops = Vec::new();
    for value in headers.get_all(FORWARDED) {
        let value = value.to_str().map_err(|_| Nobody)?;
        for element in split(value, ',')? {
            hops.push(client_of(element));
        }
    }
    last_stranger(hops.into_iter(), trusted)
}

/// From the nearest hop to the farthest, as long as each is trusted; if all are, the farthest.
fn last_stranger(
    hops: impl DoubleEndedIterator<Item = Result<IpAddr, Nobody>>,
    trusted: &Networks,
) -> Result<IpAddr, Nobody> {
    let mut client = Err(Nobody);
    for hop in hops.rev() {
        let hop = hop?;
        client = Ok(hop);
        if !trusted.contain(hop) {
            break;
        }
    }
    client
}

/// The `for` of one element.
fn client_of(element: &str) -> Result<IpAddr, Nobody> {
    for pair in split(element, ';')? {
        let (name, value) = pair.split_once('=').ok_or(Nobody)?;
        if name.trim().eq_ignore_ascii_case("for") {
            let value = value.trim();
            let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            return node(unquoted.unwrap_or(value));
        }
    }
    Err(Nobody)
}

/// An address, perhaps with a port; IPv6 perhaps in brackets.
fn node(text: &str) -> Result<IpAddr, Nobody> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical()).map_err(|_| Nobody)
}

/// Splits outside of quotes. Escapes within quotes do not occur in addresses, and are not understood.
fn split(text: &str, separator: char) -> Result<Vec<&str>, Nobody> {
    let (mut parts, mut start, mut is_quoted) = (Vec::new(), 0, false);
    for (index, character) in text.char_indices() {
        match character {
            '"' => is_quoted = !is_quoted,
            '\\' => return Err(Nobody),
            _ if character == separator && !is_quoted => {
                parts.push(text[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    if is_quoted { Err(Nobody) } else { Ok(parts) }
}

/// Name of the header.
pub const X_FORWARDED_FOR: &str = "x-forwarded-for";
/// Name of the header.
pub const FORWARDED: &str = "forwarded";

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn trusted() -> Networks {
        let mut trusted = Networks::default();
        trusted.add("10.0.0.0/8").expect("a network");
        trusted
    }

    #[track_caller]
    fn check(name: &'static str, values: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let found = match name {
            "forwarded" => by_forwarded(&headers, &trusted()),
            _ => by_x_forwarded_for(&headers, &trusted()),
        };
        let found = found.map_or("nobody".to_owned(), |client| client.to_string());
        assert_eq!(found, expected, "{name}: {values:?}");
    }

    #[test]
    fn the_last_stranger_is_the_client() {
        let check = |values: &[&str], expected| check("x-forwarded-for", values, expected);
        check(&["192.0.2.7"], "192.0.2.7");
        check(&["203.0.113.9, 192.0.2.7, 10.0.0.1"], "192.0.2.7");
        check(&["203.0.113.9", "192.0.2.7,10.0.0.1", "10.0.0.2"], "192.0.2.7");
        check(&["10.0.0.3, 10.0.0.1"], "10.0.0.3");
        check(&["2001:db8::7"], "2001:db8::7");
        check(&["[2001:db8::7]:443, 10.0.0.1"], "2001:db8::7");
        check(&["192.0.2.7:5000"], "192.0.2.7");
        check(&["::ffff:192.0.2.7"], "192.0.2.7");
        check(&["garbage, 192.0.2.7"], "192.0.2.7");
        check(&["192.0.2.7, garbage"], "nobody");
        check(&["192.0.2.7, garbage, 10.0.0.1"], "nobody");
        check(&[""], "nobody");
        check(&[], "nobody");
        check(&["192.0.2.7,"], "nobody");
    }

    #[test]
    fn forwarded_is_read_by_its_rules() {
        let check = |values: &[&str], expected| check("forwarded", values, expected);
        check(&["for=192.0.2.7"], "192.0.2.7");
        check(&["For=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1"], "2001:db8::7");
        check(&["for=203.0.113.9, proto=http;for=192.0.2.7;host=\"a,b;c\" , for=10.0.0.1"], "192.0.2.7");
        check(&["for=203.0.113.9", "for=192.0.2.7"], "192.0.2.7");
        check(&["for=unknown"], "nobody");
        check(&["for=_hidden"], "nobody");
        check(&["for=192.0.2.7, for=_hidden"], "nobody");
        check(&["for=\"192.0.2.7"], "nobody");
        check(&["for=\"192.0\\.2.7\""], "nobody");
        check(&["proto=https"], "nobody");
        check(&["192.0.2.7"], "nobody");
    }
}
