//! What the tests stand on: a real broker, the real program, a client, faults and bounded waits.

#![allow(dead_code, reason = "support offers whole tools; not every test run uses every one")]

pub mod api;
pub mod balance;
pub mod broker;
pub mod certs;
pub mod clock;
pub mod collector;
pub mod cut;
pub mod daemon;
pub mod disk;
pub mod eventually;
pub mod frames;
pub mod front;
pub mod graph;
pub mod https;
pub mod load;
pub mod issuer;
pub mod notify;
pub mod oracle;
pub mod page;
pub mod pebble;
pub mod ports;
pub mod preload;
pub mod process;
pub mod prometheus;
pub mod queue;
pub mod rich;
pub mod scripted;
pub mod site;
pub mod started;
pub mod visitor;
