//! What proxies say of a client in the headers of a request.

use std::net::IpAddr;

use hyper::{HeaderMap, header::HeaderValue};

use crate::{
    listener::forwarded::{by_forwarded, by_x_forwarded_for},
    network::Networks,
};

/// The first line names the networks of trusted proxies, the others are header values. Who is found stands there; whatever
/// a stranger puts in front changes nothing, and nor does a trusted proxy behind.
pub fn forwarded(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (networks, values) = text.split_once('\n').unwrap_or((text, ""));
    let mut trusted = Networks::default();
    let named: Vec<&str> = networks.split(',').filter(|network| trusted.add(network).is_ok()).collect();
    let values: Option<Vec<_>> = values.lines().map(|value| HeaderValue::from_str(value).ok()).collect();
    let Some(values) = values else { return };
    for (name, reader, stranger) in [
        ("x-forwarded-for", by_x_forwarded_for as Reader, STRANGER.to_owned()),
        ("forwarded", by_forwarded, format!("for=\"{STRANGER}\"")),
    ] {
        let read = |values: &[HeaderValue]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(name, value.clone());
            }
            reader(&headers, &trusted).ok()
        };
        let Some(client) = read(&values) else { continue };
        assert_eq!(trusted.contain(client), named.iter().any(|network| holds(network, client)), "{client}");
        assert!(stands_in(&values, client), "{client} stands nowhere");
        let stranger = HeaderValue::from_str(&stranger).expect("a value");
        let led = [&[stranger], &*values].concat();
        if !trusted.contain(client) {
            assert_eq!(read(&led), Some(client), "who is in front was believed");
        }
    }
}

type Reader = fn(&HeaderMap, &Networks) -> Result<IpAddr, crate::listener::forwarded::Nobody>;

/// Whether any word there reads as this address.
fn stands_in(values: &[HeaderValue], client: IpAddr) -> bool {
    let is_it = |text: &str| text.parse::<IpAddr>().is_ok_and(|address| address.to_canonical() == client);
    let texts = values.iter().filter_map(|value| value.to_str().ok());
    let mut words =
        texts.flat_map(|text| text.split(|c: char| !(c.is_ascii_hexdigit() || ":.%".contains(c))));
    // A port may follow.
    words.any(|word| is_it(word) || word.rsplit_once(':').is_some_and(|(address, _)| is_it(address)))
}

/// Whether the first bits are the same.
fn holds(network: &str, address: IpAddr) -> bool {
    let (prefix, bits) = network.split_once('/').unwrap_or((network, ""));
    let Ok(prefix) = prefix.parse::<IpAddr>() else { return false };
    let whole = bits.is_empty();
    let prefix = if whole { prefix.to_canonical() } else { prefix };
    let (prefix, address, width) = match (prefix, address) {
        (IpAddr::V4(prefix), IpAddr::V4(address)) => (prefix.to_bits().into(), address.to_bits().into(), 32),
        (IpAddr::V6(prefix), IpAddr::V6(address)) => (prefix.to_bits(), address.to_bits(), 128),
        _ => return false,
    };
    let bits = if whole { width } else { bits.parse().unwrap_or(width) };
    let differing: u128 = prefix ^ address;
    bits == 0 || differing >> (width - bits) == 0
}

const STRANGER: &str = "203.0.113.9";
