//! The PROXY protocol: how a proxy says, before anything else, whom it speaks for.
//!
//! Versions 1 (a line of text) and 2 (binary), as in HAProxy's "The PROXY protocol", versions 1 & 2, 2020/03/05.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What a header says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Header {
    /// The connection is made for this client.
    Client(IpAddr),
    /// The proxy speaks for itself, as in its health checks, or does not know.
    Itself,
}

/// What is known of a header after some bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parsed {
    /// The header ends with the last of them.
    Done(Header),
    /// At least this many more belong to it; never 0.
    More(usize),
}

/// Bytes that are no PROXY header, or one that nobody should believe.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no PROXY protocol header")]
pub struct NoHeader;

/// Reads a header, and not a byte more. Wait for it with a deadline.
///
/// # Errors
///
/// What the stream says; `InvalidData` when there is no header.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Header> {
    let mut bytes = Vec::new();
    loop {
        match parse(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
            Parsed::Done(header) => return Ok(header),
            Parsed::More(more) => {
                let known = bytes.len();
                bytes.resize(known + more, 0);
                stream.read_exact(&mut bytes[known..]).await?;
            }
        }
    }
}

/// Understands the begin of a header, or all of it.
///
/// # Errors
///
/// [`NoHeader`], as soon as it cannot become one.
pub fn parse(bytes: &[u8]) -> Result<Parsed, NoHeader> {
    let shown = bytes.len().min(SIGNATURE.len());
    if bytes[..shown] == SIGNATURE[..shown] {
        return binary(bytes);
    }
    let shown = bytes.len().min(TEXT.len());
    if bytes[..shown] == TEXT[..shown] { text(bytes) } else { Err(NoHeader) }
}

/// Version 1: `PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n`.
fn text(bytes: &[u8]) -> Result<Parsed, NoHeader> {
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        let is_open = bytes.len() < TEXT_BYTES_MAX && !bytes.contains(&b'\n');
        return if is_open { Ok(Parsed::More(signature_left(bytes).unwrap_or(1))) } else { Err(NoHeader) };
    };
    let line = str::from_utf8(line).map_err(|_| NoHeader)?;
    let mut words = line.split(' ').skip(1);
    let mut word = || words.next().ok_or(NoHeader);
    let client = match word()? {
        // Whatever follows is to be ignored.
        "UNKNOWN" => return Ok(Parsed::Done(Header::Itself)),
        family @ ("TCP4" | "TCP6") => {
            let [source, _] = [address(family, word()?)?, address(family, word()?)?];
            let [_, _] = [port(word()?)?, port(word()?)?];
            source
        }
        _ => return Err(NoHeader),
    };
    if words.next().is_some() { Err(NoHeader) } else { Ok(Parsed::Done(Header::Client(client))) }
}

fn address(family: &str, text: &str) -> Result<IpAddr, NoHeader> {
    match text.parse() {
        Ok(address @ IpAddr::V4(_)) if family == "TCP4" => Ok(address),
        Ok(address @ IpAddr::V6(_)) if family == "TCP6" => Ok(address.to_canonical()),
        Ok(_) | Err(_) => Err(NoHeader),
    }
}

fn port(text: &str) -> Result<u16, NoHeader> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain).ok_or(NoHeader)
}

/// Version 2: signature, version and command, family, length, and as many bytes.
fn binary(bytes: &[u8]) -> Result<Parsed, NoHeader> {
    let Some((head, rest)) = bytes.split_at_checked(BINARY_HEAD) else {
        return Ok(Parsed::More(signature_left(bytes).unwrap_or(BINARY_HEAD - bytes.len())));
    };
    let (command, family) = (head[12], head[13]);
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if length > BINARY_BYTES_MAX || !matches!(command, LOCAL | PROXY) {
        return Err(NoHeader);
    }
    match length.checked_sub(rest.len()) {
        Some(0) => {}
        Some(more) => return Ok(Parsed::More(more)),
        None => return Err(NoHeader),
    }
    let header = match (command, family) {
        (PROXY, TCP_OVER_IPV4) => Header::Client(Ipv4Addr::from(first::<4>(rest, 12)?).into()),
        (PROXY, TCP_OVER_IPV6) => {
            Header::Client(IpAddr::from(Ipv6Addr::from(first::<16>(rest, 36)?)).to_canonical())
        }
        // Unix sockets, datagrams and what is not specified: the receiver goes by the connection itself.
        _ => Header::Itself,
    };
    Ok(Parsed::Done(header))
}

/// How much is missing of what both versions have at least.
fn signature_left(bytes: &[u8]) -> Option<usize> {
    SIGNATURE.len().checked_sub(bytes.len()).filter(|left| *left > 0)
}

/// The first bytes of addresses that take up `whole` bytes.
fn first<const N: usize>(bytes: &[u8], whole: usize) -> Result<[u8; N], NoHeader> {
    let addresses = bytes.get(..whole).ok_or(NoHeader)?;
    addresses.first_chunk().copied().ok_or(NoHeader)
}

const TEXT: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const BINARY_HEAD: usize = 16;
/// Version 2 in the upper half of the byte.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
/// With the line's end: two IPv6 addresses of 39 characters and two ports fit.
const TEXT_BYTES_MAX: usize = 107;
/// Addresses take 216 bytes at most; the rest are notes of proxies (TLS names, ids of clouds), which we pass over.
const BINARY_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<Header, NoHeader>) {
        // Byte by byte, as a stream that is never read too far.
        let mut known = 0;
        let parsed = loop {
            match parse(&bytes[..known]) {
                Ok(Parsed::Done(header)) => break Ok((header, known)),
                Ok(Parsed::More(more)) if known + more <= bytes.len() => known += more,
                Ok(Parsed::More(_)) | Err(NoHeader) => break Err(NoHeader),
            }
        };
        assert_eq!(parsed.map(|(header, _)| header), expected, "{}", bytes.escape_ascii());
    }

    fn client(text: &str) -> Result<Header, NoHeader> {
        Ok(Header::Client(text.parse().expect("an address")))
    }

    fn version_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("a short one").to_be_bytes();
        [SIGNATURE, &[command, family], &length, body].concat()
    }

    #[test]
    fn version_1() {
        check(b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", client("192.0.2.7"));
        check(b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nGET /", client("192.0.2.7"));
        check(b"PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n", client("2001:db8::7"));
        check(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", client("192.0.2.7"));
        check(b"PROXY UNKNOWN\r\n", Ok(Header::Itself));
        check(b"PROXY UNKNOWN ffff::1 anything at all\r\n", Ok(Header::Itself));
        for wrong in [
            "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n",
            "PROXY TCP4 192.0.2.7  198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n",
            "PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
            "PROXY \r\n",
            "proxy UNKNOWN\r\n",
            "POST / HTTP/1.1\r\n",
            "",
        ] {
            check(wrong.as_bytes(), Err(NoHeader));
        }
        check(format!("PROXY UNKNOWN {}\r\n", "x".repeat(91)).as_bytes(), Ok(Header::Itself));
        check(format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).as_bytes(), Err(NoHeader));
    }

    #[test]
    fn version_2_binary() {
        let four = [192, 0, 2, 7, 198, 51, 100, 1, 0, 1, 0, 2];
        check(&version_2(PROXY, TCP_OVER_IPV4, &four), client("192.0.2.7"));
        check(&version_2(PROXY, TCP_OVER_IPV4, &[&four[..], &[3; 30]].concat()), client("192.0.2.7"));
        check(&version_2(LOCAL, TCP_OVER_IPV4, &four), Ok(Header::Itself));
        check(&version_2(LOCAL, 0, &[]), Ok(Header::Itself));
        check(&version_2(PROXY, 0x31, &[0; 216]), Ok(Header::Itself));
        check(&version_2(PROXY, TCP_OVER_IPV4, &four[..11]), Err(NoHeader));
        check(&version_2(PROXY, TCP_OVER_IPV6, &four), Err(NoHeader));
        check(&version_2(0x22, TCP_OVER_IPV4, &four), Err(NoHeader));
        check(&version_2(0x11, TCP_OVER_IPV4, &four), Err(NoHeader));
        check(&version_2(PROXY, TCP_OVER_IPV4, &[0; 4097]), Err(NoHeader));
        let mut cut = version_2(PROXY, TCP_OVER_IPV4, &four);
        cut.pop();
        check(&cut, Err(NoHeader));
    }

    proptest! {
        #[test]
        fn nothing_harms(bytes in proptest::collection::vec(any::<u8>(), 0..64), start in 0..3_usize) {
            let bytes = [[&b""[..], TEXT, SIGNATURE][start], &bytes].concat();
            if let Ok(Parsed::More(more)) = parse(&bytes) {
                prop_assert!(more > 0);
            }
        }
    }
}
