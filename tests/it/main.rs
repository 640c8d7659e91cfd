//! What a user sees, over real TLS and against a real RabbitMQ. `tests/run` installs what this needs.

mod acme;
mod admin;
mod check;
mod cli;
mod crash;
mod delivery;
mod door;
mod edge;
mod faults;
mod handshake;
mod http;
mod notifications;
mod quarantine;
mod reload;
mod shutdown;
mod soak;
mod spool_cli;
mod tls;
pub mod support;
