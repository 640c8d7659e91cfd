//! Free ports of the loopback which nobody's outgoing connection can take in passing.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// The ports of one node.
pub(super) struct Ports {
    /// AMQP.
    pub amqp: u16,
    /// AMQP over TLS.
    pub amqps: u16,
    /// Erlang distribution, which `rabbitmqctl` uses.
    pub distribution: u16,
    /// The Erlang port mapper.
    pub epmd: u16,
}

impl Ports {
    /// Four ports as of [`free`].
    ///
    /// Each is held until all are found, and let go for the node to take. Between the two another process may
    /// take one, so whoever starts the node must be ready to try again.
    pub(super) fn free() -> Self {
        let [amqp, amqps, distribution, epmd] = free();
        Self { amqp, amqps, distribution, epmd }
    }
}

/// Ports that are free now.
pub fn free<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| listener());
    held.each_ref().map(|listener| listener.local_addr().expect("a listener has an address").port())
}

fn listener() -> TcpListener {
    // `RandomState` is seeded by the system: enough chance to keep two test processes apart.
    let mut ports = (0_u32..TRIES).map(|attempt| {
        let chance = RandomState::new().hash_one(attempt);
        u16::try_from(u64::from(LOWEST) + chance % u64::from(ABOVE - LOWEST)).expect("it is below ABOVE")
    });
    let found = ports.find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    found.expect("some port of the loopback is free")
}

const LOWEST: u16 = 10_240;
/// Linux takes the local ports of outgoing connections from 32768 on (ip_local_port_range).
const ABOVE: u16 = 32_768;
const TRIES: u32 = 1_000;
