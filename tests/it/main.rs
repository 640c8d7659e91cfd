//! What a user sees, over real TLS and against a real RabbitMQ. `tests/run` installs what this needs.

mod acme;
mod admin;
mod cli;
mod configuration;
mod crash;
mod delivery;
mod documents;
mod door;
mod edge;
mod faults;
mod handshake;
mod http;
mod log;
mod manual;
mod metrics;
mod monitoring;
mod notifications;
mod quarantine;
mod reload;
mod shutdown;
mod sightings;
mod soak;
mod spool_cli;
mod status;
mod systemd;
mod tls;
pub mod support;
