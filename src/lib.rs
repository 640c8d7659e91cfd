//! graphhook receives Microsoft Graph change notifications and hands each one to RabbitMQ.
//!
//! # The path of a notification
//!
//! Graph POSTs a collection to a URL of ours. [`listener`] has accepted the connection and taken off TLS;
//! [`webhook`] reads the body under a limit and a deadline. From there a notification moves by changing type,
//! and each stage is the only one that can make what the next one takes:
//!
//! ```text
//! Bytes ─▶ notification::Batch ─▶ verify::Verified ─▶ envelope::Envelope ─▶ delivery::Receipts ─▶ 202
//!          what was said          what we believe     where it goes         who keeps it now
//! ```
//!
//! A 2xx exists only where a receipt exists for every item that was believed. Everything else is an answer that
//! makes Graph send the items again.

// The data plane, in the order a request meets it.
pub mod listener;
pub mod webhook;
pub mod notification;
pub mod verify;
pub mod envelope;
pub mod delivery;
// Around it.
pub mod graph;
pub mod acme;
pub mod admin;
pub mod sightings;
pub mod subscriptions;
pub mod gaps;
pub mod supervise;
pub mod simulate;
pub mod cli;
// Ground.
pub mod config;
pub mod secret;
pub mod deadline;
pub mod heart;
pub mod backoff;
mod blocking;
mod keepsake;
pub mod error;
pub mod metrics;
pub mod telemetry;
pub mod trace;
mod client;
mod random;
pub mod network;
pub mod moment;
mod failpoint;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
