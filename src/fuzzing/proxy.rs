//! What a proxy says at the begin of a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::listener::proxy::{Header, NoHeader, Parsed, parse};

/// Reads a stream as the listener does, each time no more than the parser asks for. It finds the header that the letter
/// of the protocol finds in the whole, ends with its last byte, and asks for no byte behind it.
pub fn proxy(data: &[u8]) {
    let expected = if data.starts_with(b"PROXY ") { text(data) } else { binary(data) };
    let mut known = 0;
    let found = loop {
        match parse(&data[..known]) {
            Ok(Parsed::Done(header)) => break Some((header, known)),
            Ok(Parsed::More(more)) => {
                assert!(more > 0, "it waits for nothing");
                known += more;
            }
            Err(NoHeader) => break None,
        }
        if known > data.len() {
            assert_eq!(expected, None, "it reads too far");
            return;
        }
    };
    assert_eq!(found, expected);
}

/// Version 1, by section 2.1: one line of at most 107 bytes, one space between two words.
fn text(data: &[u8]) -> Option<(Header, usize)> {
    let end = data.iter().position(|byte| *byte == b'\n')? + 1;
    let line = data[..end].strip_suffix(b"\r\n").filter(|_| end <= 107)?;
    let line = str::from_utf8(line).ok()?;
    if line == "PROXY UNKNOWN" || line.starts_with("PROXY UNKNOWN ") {
        return Some((Header::Itself, end));
    }
    let words: Vec<&str> = line.split(' ').collect();
    let [_, family, source, destination, ports @ ..] = &*words else { return None };
    let is_port = |text: &&str| !text.starts_with(['+', '-']) && text.parse::<u16>().is_ok();
    let (from, to) = (source.parse::<IpAddr>().ok()?, destination.parse::<IpAddr>().ok()?);
    let fits = match *family {
        "TCP4" => from.is_ipv4() && to.is_ipv4(),
        "TCP6" => from.is_ipv6() && to.is_ipv6(),
        _ => false,
    };
    let fits = fits && ports.len() == 2 && ports.iter().all(is_port);
    fits.then(|| (Header::Client(from.to_canonical()), end))
}

/// Version 2, by section 2.2; what takes more than 4 KiB is not believed.
fn binary(data: &[u8]) -> Option<(Header, usize)> {
    let [command, family, high, low, rest @ ..] = data.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n")? else {
        return None;
    };
    let length = usize::from(*high) * 256 + usize::from(*low);
    let body = rest.get(..length).filter(|_| length <= 4096)?;
    let header = match (command, family) {
        (0x21, 0x11) if length >= 12 => {
            Header::Client(Ipv4Addr::new(body[0], body[1], body[2], body[3]).into())
        }
        (0x21, 0x21) if length >= 36 => {
            let address = body[..16].iter().fold(0, |address: u128, byte| address << 8 | u128::from(*byte));
            Header::Client(IpAddr::from(Ipv6Addr::from_bits(address)).to_canonical())
        }
        (0x21, 0x11 | 0x21) => return None,
        (0x20 | 0x21, _) => Header::Itself,
        _ => return None,
    };
    Some((header, 16 + length))
}
