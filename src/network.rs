//! Networks of addresses, as operators write them.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// Some networks, IPv4 and IPv6.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Networks(Vec<IpNet>);

/// A text that names no network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected an address or a network, such as \"192.0.2.7\" or \"2001:db8::/32\"")]
pub struct BadNetwork;

impl Networks {
    /// Whether one of them holds this address. An IPv4 address within IPv6 (`::ffff:192.0.2.7`) is the IPv4 address.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Adds an address, or a network as address and prefix length.
    ///
    /// # Errors
    ///
    /// [`BadNetwork`]
    pub fn add(&mut self, text: &str) -> Result<(), BadNetwork> {
        let network = match text.split_once('/') {
            None => address(text)?.to_canonical().into(),
            Some((prefix, _)) => {
                // Ipnet reads leading zeros as nothing, others as octal: two readings are none.
                address(prefix)?;
                canonical(text.parse::<IpNet>().map_err(|_| BadNetwork)?.trunc())
            }
        };
        self.0.push(network);
        Ok(())
    }

    /// Adds all that a text lists: one to a line, and `#` begins a comment.
    ///
    /// # Errors
    ///
    /// The number of the first line that is wrong, counted from 1; the lines before it are added.
    pub fn add_list(&mut self, text: &str) -> Result<(), usize> {
        for (index, line) in text.lines().enumerate() {
            let network = line.split('#').next().unwrap_or_default().trim();
            if !network.is_empty() {
                self.add(network).map_err(|BadNetwork| index + 1)?;
            }
        }
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn address(text: &str) -> Result<IpAddr, BadNetwork> {
    text.parse().map_err(|_| BadNetwork)
}

/// A network of IPv4 addresses within IPv6 is the IPv4 network, as such addresses are.
fn canonical(network: IpNet) -> IpNet {
    let IpAddr::V4(address) = network.addr().to_canonical() else { return network };
    let within = network.prefix_len().checked_sub(96).and_then(|prefix| Ipv4Net::new(address, prefix).ok());
    within.filter(|_| network.addr().is_ipv6()).map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(networks: &str, address: &str, is_in: bool) {
        let mut list = Networks::default();
        list.add_list(networks).expect("networks");
        assert_eq!(list.contain(address.parse().expect("an address")), is_in, "{address} in {networks}");
    }

    #[test]
    fn addresses_are_found_in_their_networks() {
        check("192.0.2.0/24", "192.0.2.7", true);
        check("192.0.2.7/24 # all of it", "192.0.2.200", true);
        check("192.0.2.0/24", "192.0.3.7", false);
        check("# nothing\n\n192.0.2.7", "192.0.2.7", true);
        check("192.0.2.7", "192.0.2.8", false);
        check("2001:db8::/32\n10.0.0.0/8", "2001:db8:1::1", true);
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
        check("::ffff:10.1.2.3", "10.1.2.3", true);
        check("::ffff:10.0.0.0/104", "10.1.2.3", true);
        check("::/0", "10.1.2.3", false);
        check("0.0.0.0/0", "2001:db8::1", false);
    }

    #[test]
    fn what_is_no_network_is_named_by_its_line() {
        for text in [
            "10.0.0.0/33",
            "10.0.0",
            "host",
            "2001:db8::/129",
            "10.0.0.1/",
            "10.0.0.1 10.0.0.2",
            "10.0.0.010/8",
        ] {
            assert_eq!(
                Networks::default().add_list(&format!("10.0.0.1\n# {text}\n{text}")),
                Err(3),
                "{text}"
            );
        }
    }

    /// The list that ships with the program.
    #[test]
    fn the_shipped_list_can_be_read_and_holds_addresses_that_validations_came_from() {
        let mut list = Networks::default();
        list.add_list(include_str!("../graph-addresses.txt")).expect("networks");
        assert!(list.0.len() > 100, "only {}", list.0.len());
        for seen in ["70.37.95.11", "137.135.11.116"] {
            assert!(list.contain(seen.parse().expect("an address")), "{seen}");
        }
    }
}
