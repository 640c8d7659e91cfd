//! Brokers: name, login, topology, rights and TLS.

use std::{net::IpAddr, time::SystemTime};

use super::{
    certificates::{WARNED_BEFORE, days},
    report::{Check, Finding},
    visit::{connect, resolve, roots},
};
use crate::{
    config::{Broker, BrokerUrl, Topology},
    delivery::{Probe, probe},
    error::Chain,
    listener::tls::{Facts, Validity},
};

/// All that is found of one node.
pub(super) async fn broker(url: &BrokerUrl, broker: &Broker) -> Vec<Finding> {
    let failed =
        |words: String, advice: &str| Finding::failed(CHECK, format!("{}: {words}", url.shown), advice);
    let resolved = match resolve(&url.host, url.port).await {
        Ok(resolved) => resolved,
        Err(error) => {
            return vec![failed(Chain(&error).to_string(), "look at the name, and at this machine's DNS")];
        }
    };
    let is_local = resolved.addresses.iter().all(|address| address.ip().is_loopback());
    let mut findings = manners(url, is_local);
    match probe(url, broker).await {
        Ok(found) => {
            findings.extend(rights(url, broker, found));
            if url.is_encrypted() {
                findings.extend(certificate(url, broker, &resolved.addresses).await);
            }
            let (address, took) = (shown(resolved.addresses[0].ip(), &url.host), resolved.took.as_millis());
            let topology = match broker.topology {
                Topology::Declare => "topology declared",
                Topology::Check => "topology is there",
            };
            let words =
                format!("{}:{address} DNS {took} ms; login, confirms, {topology}, may publish", url.shown);
            findings.push(Finding::ok(CHECK, words));
        }
        Err(error) => {
            let words = Chain(&error).to_string();
            let advice = advice(&words).unwrap_or("see the broker's own log");
            findings.push(failed(words, advice));
        }
    }
    findings
}

/// An address says nothing new if the URL has it.
fn shown(address: IpAddr, host: &str) -> String {
    if address.to_string() == host { String::new() } else { format!(" {address},") }
}

/// What can be told of a URL without asking anybody.
fn manners(url: &BrokerUrl, is_local: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut warn = |words: &str, advice: &str| {
        findings.push(Finding::warning(CHECK, format!("{}: {words}", url.shown), advice));
    };
    if url.is_guest() && !is_local {
        warn(
            "user guest, from another machine",
            "RabbitMQ refuses that by default: make a user of graphhook's own",
        );
    }
    if !url.is_encrypted() && !is_local {
        warn(
            "password and messages travel in the clear",
            "use amqps://, unless the network between is yours alone",
        );
    }
    match url.heartbeat() {
        Some(0) => {
            let words = "heartbeat=0: the broker's own is taken, mostly 60 s, and a hang is noticed after twice as long";
            warn(words, "leave it out: the default is 10 s")
        }
        Some(seconds @ 1..5) => {
            let words = format!("heartbeat={seconds}: a busy network looks like a dead broker");
            warn(&words, "RabbitMQ advises 5 to 20 s");
        }
        Some(seconds @ 61..) => {
            let words = format!("heartbeat={seconds}: a broker that hangs is noticed after twice as long");
            warn(&words, "RabbitMQ advises 5 to 20 s");
        }
        Some(5..=60) | None => {}
    }
    findings
}

/// What the user may, too much and too little.
fn rights(url: &BrokerUrl, broker: &Broker, found: Probe) -> Vec<Finding> {
    let warning =
        |words: &str, advice: String| Finding::warning(CHECK, format!("{}: {words}", url.shown), advice);
    let mut findings = Vec::new();
    if found.lacks_quarantine {
        let advice = format!("declare {}.refused, or set broker.quarantine = false", broker.exchange);
        findings.push(warning("there is no quarantine exchange: refused items are only counted", advice));
    }
    if found.may_declare_anything {
        let advice = match broker.topology {
            Topology::Declare => format!("narrow the configure permission to ^{}.*", broker.exchange),
            Topology::Check => {
                "with broker.declare = false it needs no configure permission: let it be ^$".to_owned()
            }
        };
        findings.push(warning("the user may declare any queue of the virtual host", advice));
    }
    if broker.topology == Topology::Check && broker.queue.is_none() {
        let advice =
            "watch graphhook_amqp_publish_total{result=\"returned\"}, or name broker.queue".to_owned();
        findings.push(warning("whether any queue is bound cannot be asked over AMQP", advice));
    }
    findings
}

/// The broker's own certificate. Whoever has got as far as to a login has believed it; here its end matters.
async fn certificate(
    url: &BrokerUrl,
    broker: &Broker,
    addresses: &[std::net::SocketAddr],
) -> Option<Finding> {
    let stream = connect(addresses, &url.host, roots(broker.tls.ca.as_deref()).ok()?).await.ok()?;
    let facts = Facts::of(stream.get_ref().1.peer_certificates()?).ok()?;
    match facts.validity(SystemTime::now()) {
        Validity::Valid(left) if left < WARNED_BEFORE => {
            let words = format!("{}: the broker's certificate ends in {} days", url.shown, days(left));
            Some(Finding::warning(CHECK, words, "have it renewed"))
        }
        Validity::Valid(_) | Validity::NotYet | Validity::Expired => None,
    }
}

/// What to do about the commonest failures, by the words in which libraries and brokers tell of them.
fn advice(words: &str) -> Option<&'static str> {
    let table = [
        ("publishing", "ACCESS_REFUSED", "give the user the write permission on broker.exchange"),
        ("", "ACCESS_REFUSED", "look at user, password and permissions"),
        (
            "publishing",
            "took too long",
            "does an alarm of the broker block publishers? See rabbitmq-diagnostics alarms",
        ),
        ("", "InvalidContentType", "this port speaks no TLS: amqp:// instead of amqps://?"),
        ("", "ParserErrors", "this port speaks no plain AMQP: amqps:// instead of amqp://?"),
        ("", "PRECONDITION_FAILED", "it is there in another shape: delete it, or change broker.queue_type"),
        ("", "Connection refused", "is the broker running there?"),
        ("", "NOT_FOUND", "have it declared, or set broker.declare = true"),
        ("", "vhost", "write the virtual host after the port: /%2f is the one named /"),
        (
            "",
            "connection aborted",
            "the broker ended it; its log says why, for example that its frame_max is below 8192",
        ),
        ("", "UnknownIssuer", "name the authority in broker.tls.ca_file"),
        ("", "NotValidForName", "call the broker by a name that stands in its certificate"),
        ("", "took too long", "does a firewall swallow the packets, or does the broker hang?"),
        ("", "timed out", "does a firewall swallow the packets, or does the broker hang?"),
    ];
    let holds = |(step, sign, _): &(&str, &str, &str)| words.contains(step) && words.contains(sign);
    table.into_iter().find(holds).map(|(.., advice)| advice)
}

const CHECK: Check = Check::Broker;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[track_caller]
    fn check(url: &str, is_local: bool, words: &[&str]) {
        let url = BrokerUrl {
            secret: Secret::new(url.to_owned()),
            host: "rabbit".to_owned(),
            port: 5672,
            shown: format!("{}://rabbit", url.split(':').next().expect("a scheme")),
        };
        let findings = manners(&url, is_local);
        let said = format!("{findings:?}");
        assert_eq!(findings.len(), words.len(), "{said}");
        assert!(words.iter().all(|words| said.contains(words)), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }

    #[test]
    fn odd_urls_are_told_of() {
        check("amqp://guest:hunter2@rabbit/%2f", true, &[]);
        check("amqps://hooks:hunter2@rabbit/%2f?heartbeat=10", false, &[]);
        check("amqps://guest:hunter2@rabbit/%2f", false, &["user guest"]);
        check("amqp://hooks:hunter2@rabbit/%2f", false, &["in the clear"]);
        check("amqp://rabbit/%2f", false, &["user guest", "in the clear"]);
        check("amqp://hooks:hunter2@rabbit/%2f?heartbeat=0", true, &["the broker's own is taken"]);
        check("amqp://hooks:hunter2@rabbit/%2f?heartbeat=2", true, &["looks like a dead broker"]);
        check("amqp://hooks:hunter2@rabbit/%2f?heartbeat=600", true, &["twice as long"]);
    }

    #[test]
    fn the_nearest_advice_is_given() {
        for (words, expected) in [
            ("publishing to the exchange failed: ACCESS_REFUSED", "write permission"),
            ("connecting failed: ACCESS_REFUSED - Login was refused", "look at user"),
            ("publishing to the exchange took too long", "alarm"),
            ("opening a channel took too long", "firewall"),
        ] {
            assert!(advice(words).is_some_and(|advice| advice.contains(expected)), "{words}");
        }
        assert_eq!(advice("something else"), None);
    }
}
