//! What a user sees, over real TLS and against a real RabbitMQ. `tests/run` installs what this needs.

mod admin;
mod cli;
mod crash;
mod delivery;
mod faults;
mod handshake;
mod http;
mod notifications;
mod reload;
mod shutdown;
pub mod support;
