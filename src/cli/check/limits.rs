//! Whether the limits of the configuration fit each other, and the machine.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use procfs::{Current, Meminfo};

use super::{
    super::words,
    report::{Check, Finding},
};
use crate::{
    config::{Config, Deliver},
    listener::files::Files,
};

/// What the machine gives to a process such as this one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// Connections of the public listener that there are file descriptors for.
    pub(super) connections: usize,
    /// Bytes of memory, if that can be told.
    pub(super) memory: Option<u64>,
}

impl Machine {
    /// As it is for this process. The daemon's own unit may set other limits.
    pub(super) fn ours() -> Self {
        let whole = Meminfo::current().ok().map(|memory| memory.mem_total);
        let memory = [whole, control_group()].into_iter().flatten().min();
        Self { connections: Files::possible().public, memory }
    }
}

pub(super) fn limits(config: &Config, machine: Machine) -> Vec<Finding> {
    let limits = &config.server.limits;
    let warning = |words: String, advice: &str| Finding::warning(Check::Limits, words, advice);
    let mut findings = Vec::new();
    findings.extend(time_for_the_spool(config.server.answer_within, config.broker.confirm_within));
    if limits.bytes_in_flight / limits.body_bytes_max < BODIES_MIN {
        let words = format!(
            "bytes_in_flight has room for {} bodies of full size at one time, others are answered 503",
            limits.bytes_in_flight / limits.body_bytes_max
        );
        findings.push(warning(words, "raise server.limits.bytes_in_flight, or lower server.limits.body"));
    }
    if limits.body_bytes_max > BROKER_BYTES_MAX {
        let words =
            "a body may be larger than what RabbitMQ takes in one message by default, 16 MiB".to_owned();
        findings.push(warning(words, "lower server.limits.body, or raise max_message_size of the broker"));
    }
    if limits.connections_max > machine.connections {
        let words = format!(
            "there are file descriptors for {} connections here, fewer than server.limits.connections",
            machine.connections
        );
        findings.push(warning(words, "raise LimitNOFILE of the unit (ulimit -n), or lower the limit"));
    }
    let needed = needed(config, machine.connections);
    if let Some(memory) = machine.memory.filter(|memory| needed > memory / 10 * 9) {
        let words = format!(
            "full to their limits, requests take {} of memory; there are {} here",
            words::bytes(needed),
            words::bytes(memory)
        );
        findings.push(warning(words, "lower server.limits.bytes_in_flight or connections"));
    }
    let memory = machine.memory.map_or(String::new(), |memory| format!(" of {}", words::bytes(memory)));
    let words = format!(
        "{} connections, {} in flight; at most {}{memory} of memory",
        limits.connections_max.min(machine.connections),
        words::bytes(limits.bytes_in_flight as u64),
        words::bytes(needed)
    );
    findings.push(Finding::ok(Check::Limits, words));
    findings
}

/// What the broker does not confirm in time is written to the spool, in what is then left of the request's time.
fn time_for_the_spool(answer_within: Duration, confirm_within: Duration) -> Option<Finding> {
    let left = answer_within.saturating_sub(confirm_within);
    let words = if left.is_zero() {
        "broker.confirm_within is not less than server.answer_within: nothing gets to the spool in time"
            .to_owned()
    } else if left < SPOOL_TIME {
        format!("after broker.confirm_within the spool has only {} ms to take a request", left.as_millis())
    } else {
        return None;
    };
    Some(Finding::warning(Check::Limits, words, "let broker.confirm_within be 500 ms less, or lower"))
}

/// The sum of docs/capacity.md, section Memory: the daemon itself, each connection, bodies twice over (once as they came,
/// once as they wait for the spool), the same of what is opened of them (base64 is a third larger) while its turn comes, and
/// what is on its way to the broker.
fn needed(config: &Config, connections: usize) -> u64 {
    let limits = &config.server.limits;
    let connections = limits.connections_max.min(connections) as u64;
    let opens = config.rich.as_ref().is_some_and(|rich| matches!(rich.deliver, Deliver::Opened));
    let bodies = if opens { 7 } else { 4 } * limits.bytes_in_flight as u64 / 2;
    IDLE_BYTES + connections * CONNECTION_BYTES + bodies + config.broker.in_flight_bytes as u64
}

/// The least that a control group around us may use (cgroup v2, `memory.max`).
fn control_group() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let ours = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let path = PathBuf::from("/sys/fs/cgroup").join(ours);
    let limit = |group: &Path| fs::read_to_string(group.join("memory.max")).ok()?.trim().parse::<u64>().ok();
    path.ancestors().take_while(|group| group.starts_with("/sys/fs/cgroup")).filter_map(limit).min()
}

/// Fewer bodies of full size at once than this would make Graph repeat at every burst.
const BODIES_MIN: usize = 4;
/// `max_message_size` of RabbitMQ 4.
const BROKER_BYTES_MAX: usize = 16 << 20;
/// A disk that is busy takes some hundred milliseconds for a sync.
const SPOOL_TIME: Duration = Duration::from_millis(500);
const IDLE_BYTES: u64 = 64 << 20;
const CONNECTION_BYTES: u64 = 48 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load_text};

    #[track_caller]
    fn check(text: &str, machine: Machine, words: &[&str]) {
        let text = format!("{text}\n[[client_states]]\nname = \"a\"\nsecret = \"x\"\n");
        let config = load_text("config.toml", &text, &Environment::default()).expect(&text).config;
        let findings = limits(&config, machine);
        assert_eq!(findings.len(), words.len() + 1, "{findings:?}");
        let said = format!("{findings:?}");
        assert!(words.iter().all(|words| said.contains(words)), "{said}");
    }

    #[test]
    fn limits_that_do_not_fit_are_told_of() {
        let large = Machine { connections: 60_000, memory: Some(8 << 30) };
        check("", large, &[]);
        check("", Machine { memory: None, ..large }, &[]);
        check("", Machine { connections: 896, ..large }, &["for 896 connections"]);
        check(
            "",
            Machine { memory: Some(512 << 20), ..large },
            &["take 832.0 MiB of memory; there are 512.0 MiB"],
        );
        check("[broker]\nconfirm_within = \"2500ms\"", large, &["nothing gets to the spool in time"]);
        check("[broker]\nconfirm_within = \"2200ms\"", large, &["only 300 ms"]);
        check("[server.limits]\nbytes_in_flight = \"8MiB\"", large, &["room for 2 bodies"]);
        check("[server.limits]\nbody = \"32MiB\"", large, &["larger than what RabbitMQ takes"]);
    }

    #[test]
    fn what_is_opened_takes_memory_too() {
        let vectors = include_str!("../../../tests/data/vector-own-decryption.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).expect("JSON");
        let pem = vectors["certificate"]["private_key_pkcs8_pem"].as_str().expect("PEM");
        let id = "925bff9f-f6e2-4a69-b858-f71ea2b9b6d0";
        let rich = |deliver: &str| {
            format!(
                "[rich]\ndeliver = {deliver:?}\napp_ids = [{id:?}]\ntenants = [{id:?}]\n[[rich.keys]]\nid = \"a\"\nprivate_key = {pem:?}\n"
            )
        };
        let machine = Machine { connections: 60_000, memory: Some(1 << 30) };
        check(&rich("sealed"), machine, &[]);
        check(&rich("opened"), machine, &["take 1.2 GiB of memory; there are 1.0 GiB"]);
    }
}
