//! `graphhook dev`: the real server with a throwaway certificate and secret, and a
//! spool in a temporary directory that is drained to standard output.

mod rehearsal;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use anyhow::Context;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::task::{self, JoinSet};
use tokio_util::sync::CancellationToken;

use self::rehearsal::Rehearsal;
use super::Failure;
use crate::{
    config::{self, Environment, Log, LogFormat, LogLevel},
    delivery::{Delivery, embedded, spool::Spool},
    envelope::Envelope,
    listener::{
        Listener,
        door::Door,
        files::Files,
        socket::Socket,
        tls::{Identity, Served},
    },
    metrics::Metrics,
    secret::Secret,
    sightings::Sightings,
    simulate::template::{self, Facts, Template, Tokens, collection},
    supervise::signals::Signals,
    telemetry,
    trace::export::Tracer,
    verify::keys::Keys,
    webhook::Webhook,
};

/// What came out of the queue, in order: routing key and message id.
type Delivered = Arc<Mutex<Vec<(String, String)>>>;

/// Runs the server until Ctrl-C, or through the rehearsal.
pub(super) async fn run(
    listen: Option<SocketAddr>,
    simulate: bool,
    environment: &Environment,
) -> Result<(), Failure> {
    let log = Log { level: if simulate { LogLevel::Warn } else { LogLevel::Debug }, format: LogFormat::Text };
    let started = telemetry::start(log, environment).context("no log");
    let ran = match started {
        Ok(_) => try_run(listen, simulate).await,
        Err(error) => Err(error),
    };
    ran.map_err(|error| {
        say(&format!("graphhook: {error:#}"));
        Failure::Running
    })
}

async fn try_run(listen: Option<SocketAddr>, simulate: bool) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot wait for signals")?;
    let secret = random_secret()?;
    let (identity, certificate) = throwaway_identity()?;
    let directory = tempfile::Builder::new().prefix("graphhook-dev-").tempdir().context("no directory")?;
    let config = config::dev(&secret, directory.path());
    let metrics = Metrics::new();

    let delivered = Delivered::default();
    let (spool, keeper) = Spool::open(config.spool.clone(), Arc::clone(&metrics))?;
    let lines = embedded::drain(spool.clone(), tokio::io::stdout(), note(Arc::clone(&delivered)));
    let tracer = Tracer::idle(config.traces.sample);
    let delivery = Arc::new(Delivery::without_broker(spool.clone(), tracer.clone()));
    let sightings = Sightings::unsaved(Arc::clone(&metrics));
    // Nothing is configured that would need any.
    let (keys, _) = Keys::new(&metrics);
    let webhook = Arc::new(Webhook::new(&config, delivery, sightings, keys, tracer, Arc::clone(&metrics)));
    let listen = listen.unwrap_or_else(|| default_address(simulate));
    let socket = Socket::bind(&listen.into(), "public").await?;
    let address = socket.address().parse()?;
    let tls = &config.server.tls;
    let served = Served::new(vec![Some(Arc::new(identity))], tls.unknown_host, Arc::clone(&metrics));
    let acceptor = Some(served.acceptor(tls)?);
    let door = Door::new(&config, Files::raise().public, Arc::clone(&metrics));
    let listener = Listener::new(vec![socket], acceptor, door, webhook, Arc::clone(&metrics));

    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { lines.await.context("cannot write to standard output") });
    let keeping = task::spawn_blocking(|| keeper.run());
    let accepting = listener.run(stop.clone());
    tasks.spawn(async move {
        accepting.await;
        Ok(())
    });

    let errand = async {
        if simulate {
            let (delivered, metrics) = (&delivered, &metrics);
            Rehearsal { address, certificate, secret: &secret, delivered, metrics }.run().await
        } else {
            introduce(address, &secret);
            std::future::pending().await
        }
    };
    let done = tokio::select! {
        done = errand => done,
        _ = signals.stop() => Ok(()),
        Some(ended) = tasks.join_next() => ended.context("a task panicked")?.context("a task ended by itself"),
    };
    stop.cancel();
    spool.stop();
    keeping.await?;
    done
}

/// Where `dev` listens when nobody says: a rehearsal must not fail because somebody else is on the port.
fn default_address(simulate: bool) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, if simulate { 0 } else { 8443 }))
}

fn note(delivered: Delivered) -> impl FnMut(&Envelope) + Send {
    move |envelope| {
        let mut delivered = delivered.lock().unwrap_or_else(PoisonError::into_inner);
        delivered.push((envelope.routing_key.to_string(), envelope.message_id.as_str().to_owned()));
        // Somebody who leaves `dev` running for a month needs no list.
        if delivered.len() > REMEMBERED_MAX {
            delivered.clear();
        }
    }
}

fn introduce(address: SocketAddr, secret: &Secret) {
    let item =
        item("message", "created", "try-1", Some(secret.expose()), template::SUBSCRIPTION, template::TENANT);
    say(&format!(
        "notificationUrl  https://{address}/graph/notifications\n\
         clientState      {}\n\n\
         Try it from another terminal:\n\n\
         curl -ik https://{address}/graph/notifications -H 'Content-Type: application/json' -d '{}'\n\n\
         Each notification becomes a JSON line on standard output. Ctrl-C ends it.\n",
        secret.expose(),
        collection(&[item], Tokens::None),
    ));
}

/// An item as Graph would send it now.
fn item(
    name: &str,
    change: &str,
    id: &str,
    client_state: Option<&str>,
    subscription: &str,
    tenant: &str,
) -> String {
    let facts = Facts {
        id,
        subscription,
        tenant,
        user: template::USER,
        client_state,
        change,
        now: SystemTime::now(),
        number: 1,
    };
    Template::named(name).expect("it is built in").fill(&facts)
}

fn random_secret() -> anyhow::Result<Secret> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("the system has no random numbers")?;
    Ok(Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// A certificate for this machine that nobody else trusts; it lives in memory only.
fn throwaway_identity() -> anyhow::Result<(Identity, CertificateDer<'static>)> {
    let key = KeyPair::generate().context("no key")?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let certificate = CertificateParams::new(names)?.self_signed(&key).context("no certificate")?;
    let private_key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let der = certificate.der().clone();
    Ok((Identity::new(vec![der.clone()], private_key)?, der))
}

#[expect(clippy::print_stderr, reason = "this is what dev has to say to a person")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// Deliveries that are kept for the rehearsal.
const REMEMBERED_MAX: usize = 10_000;
