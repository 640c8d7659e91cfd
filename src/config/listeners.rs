//! Which listeners would take each other's place.

use std::net::{IpAddr, SocketAddr};

use super::Listen;

/// A listener and the key that wants it.
pub(super) struct Wanted {
    pub(super) key: String,
    pub(super) listen: Listen,
}

/// Each listener that finds its place taken by one before it, and the key of that one.
pub(super) fn overlaps(wanted: &[Wanted]) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for (index, later) in wanted.iter().enumerate() {
        let earlier = wanted[..index].iter().find(|earlier| overlap(&earlier.listen, &later.listen));
        found.extend(earlier.map(|earlier| (later.key.as_str(), earlier.key.as_str())));
    }
    found
}

fn overlap(one: &Listen, other: &Listen) -> bool {
    match (one, other) {
        (Listen::Address(one), Listen::Address(other)) => {
            one.port() != 0 && one.port() == other.port() && (covers(one, other) || covers(other, one))
        }
        (Listen::Unix(one), Listen::Unix(other)) => one == other,
        (Listen::Address(_), Listen::Unix(_)) | (Listen::Unix(_), Listen::Address(_)) => false,
    }
}

/// A socket at `[::]` takes IPv4 as well: `net.ipv6.bindv6only` is 0 unless somebody has changed it.
fn covers(wide: &SocketAddr, narrow: &SocketAddr) -> bool {
    match wide.ip() {
        IpAddr::V6(ip) if ip.is_unspecified() => true,
        IpAddr::V4(ip) if ip.is_unspecified() => narrow.is_ipv4(),
        ip @ (IpAddr::V6(_) | IpAddr::V4(_)) => ip == narrow.ip(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: &str, other: &str, expected: bool) {
        let listen = |text: &str| match text.strip_prefix("unix:") {
            Some(path) => Listen::Unix(path.into()),
            None => Listen::Address(text.parse().expect("an address")),
        };
        let wanted = |key: &str, text| Wanted { key: key.to_owned(), listen: listen(text) };
        for (one, other) in [(one, other), (other, one)] {
            let found = !overlaps(&[wanted("a", one), wanted("b", other)]).is_empty();
            assert_eq!(found, expected, "{one} and {other}");
        }
    }

    #[test]
    fn listeners_that_cannot_both_be_there_are_found() {
        check("127.0.0.1:80", "127.0.0.1:80", true);
        check("127.0.0.1:80", "127.0.0.1:81", false);
        check("127.0.0.1:80", "127.0.0.2:80", false);
        check("0.0.0.0:80", "127.0.0.1:80", true);
        check("[::]:80", "127.0.0.1:80", true);
        check("[::]:80", "0.0.0.0:80", true);
        check("[::1]:80", "0.0.0.0:80", false);
        check("127.0.0.1:0", "127.0.0.1:0", false);
        check("unix:/run/a", "unix:/run/a", true);
        check("unix:/run/a", "[::]:80", false);
    }
}
