//! What a scenario file may say, and how it becomes a [`Scenario`].

mod values;

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use self::values::{Bytes, Chance, Ids, PerPost, Rate, Scale, Time, Whole};
use super::{Expect, Extent, Faults, Graph, Pace, Problem, Problems, Scenario, text_of};
use crate::simulate::{
    run::{draw::Weighted, stock::longest},
    template::Template,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    rate: Rate,
    duration: Option<Time>,
    count: Option<Whole<1, { super::COUNT_MAX }>>,
    connections: Option<Whole<1, 4_096>>,
    seed: Option<Whole<0, { i64::MAX as u64 }>>,
    drain: Option<Time>,
    #[serde(default)]
    notifications: RawNotifications,
    #[serde(default)]
    faults: RawFaults,
    #[serde(default)]
    graph: RawGraph,
    #[serde(default)]
    expect: RawExpect,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNotifications {
    per_post: Option<PerPost>,
    resources: Option<BTreeMap<String, f64>>,
    changes: Option<Vec<String>>,
    subscriptions: Option<Ids>,
    tenants: Option<Ids>,
    size: Option<Bytes>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFaults {
    slow_reader: Option<Chance>,
    slow_for: Option<Time>,
    hang_up: Option<Chance>,
    duplicate: Option<Chance>,
    out_of_order: Option<Chance>,
    held_for: Option<Time>,
    forged: Option<Chance>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGraph {
    time_scale: Option<Scale>,
    first_allowance: Option<Time>,
    repeat_allowance: Option<Time>,
    first_pause: Option<Time>,
    longest_pause: Option<Time>,
    give_up_after: Option<Time>,
    probes: Option<Whole<1, 1_000>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExpect {
    p50: Option<Time>,
    p90: Option<Time>,
    p99: Option<Time>,
    #[serde(rename = "p99.9")]
    p99_9: Option<Time>,
    delivered: Option<Chance>,
    delayed: Option<Chance>,
}

pub(super) fn read(name: &str, text: &str, beside: &Path) -> Result<Scenario, Problems> {
    let raw: Raw = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        // What is missing stands nowhere.
        let is_there = !error.message().starts_with("missing field");
        Problems(vec![Problem {
            key: if is_there { key_at(text, start) } else { String::new() },
            origin: format!("{name}:{}", line_of(text, start)),
            message: plain(error.message()),
        }])
    })?;
    let mut problems = Vec::new();
    let scenario = resolve(raw, beside, &mut |key, message| {
        let origin = format!("{name}:{}", line_of(text, place_of(text, key)));
        problems.push(Problem { key: plain(key), origin, message: plain(&message) });
    });
    match scenario {
        Some(scenario) if problems.is_empty() => Ok(scenario),
        Some(_) | None => Err(Problems(problems)),
    }
}

fn resolve(raw: Raw, beside: &Path, wrong: &mut impl FnMut(&str, String)) -> Option<Scenario> {
    let extent = match (raw.duration, raw.count) {
        (Some(Time(time)), None) => Extent::Time(time),
        (None, Some(Whole(count))) => Extent::Count(count),
        (Some(_), Some(_)) => {
            wrong("count", "there is a duration, too: expected one of them".to_owned());
            return None;
        }
        (None, None) => {
            wrong("rate", "expected a duration or a count as well".to_owned());
            return None;
        }
    };
    if let (Rate(Pace::PerSecond(rate)), Extent::Time(time)) = (raw.rate, extent)
        && rate * time.as_secs_f64() > super::COUNT_MAX as f64
    {
        wrong("duration", format!("these are more than {} notifications", super::COUNT_MAX));
    }
    let mut scenario = Scenario::new(raw.rate.0, extent);
    put(&mut scenario.connections, raw.connections.map(|Whole(number)| number as usize));
    put(&mut scenario.seed.0, raw.seed.map(|Whole(seed)| seed));
    put(&mut scenario.drain, raw.drain.map(|Time(time)| time));
    notifications(raw.notifications, beside, &mut scenario, wrong);
    bounded(&scenario, wrong);
    scenario.faults = faults(&raw.faults);
    let Faults { slow_reader, hang_up, duplicate, out_of_order, .. } = scenario.faults;
    if slow_reader + hang_up + duplicate + out_of_order > 1.0 {
        wrong("faults", "all shares but that of forged ones are over 1 together".to_owned());
    }
    scenario.graph = graph(&raw.graph, wrong);
    scenario.expect = expect(&raw.expect);
    Some(scenario)
}

fn notifications(
    raw: RawNotifications,
    beside: &Path,
    scenario: &mut Scenario,
    wrong: &mut impl FnMut(&str, String),
) {
    put(&mut scenario.per_post, raw.per_post.map(|PerPost(weighted)| weighted));
    scenario.size = raw.size.map(|Bytes(size)| size);
    put(&mut scenario.subscriptions, raw.subscriptions.map(|ids| ids.named(super::subscriptions)));
    put(&mut scenario.tenants, raw.tenants.map(|ids| ids.named(super::tenants)));
    match raw.changes {
        Some(changes) if changes.is_empty() => {
            wrong("notifications.changes", "expected at least one".to_owned());
        }
        changes => put(&mut scenario.changes, changes),
    }
    let Some(resources) = raw.resources else { return };
    let mut templates = Vec::new();
    for (name, weight) in resources {
        match template(&name, beside) {
            Ok(template) => templates.push((weight, template)),
            Err(why) => wrong(&format!("notifications.resources.{name}"), why),
        }
    }
    match Weighted::new(templates) {
        Some(templates) => scenario.templates = templates,
        None => {
            wrong("notifications.resources", "expected weights, and one of them greater than 0".to_owned())
        }
    }
}

/// A body is made whole, for every connection: it must have room.
fn bounded(scenario: &Scenario, wrong: &mut impl FnMut(&str, String)) {
    let most = scenario.per_post.all().map(|(_, to)| u64::from(*to)).max().unwrap_or_default();
    let longest = longest(scenario) as u64;
    if most * longest > super::POST_BYTES_MAX {
        let limit = super::POST_BYTES_MAX >> 20;
        let is_size = scenario.size.is_some_and(|size| size as u64 == longest);
        let key = if is_size { "notifications.size" } else { "notifications.per_post" };
        wrong(
            key,
            format!("{most} items of {longest} bytes are more than the {limit} MiB that a POST may have"),
        );
    }
}

/// A built-in one, or a file.
fn template(name: &str, beside: &Path) -> Result<Template, String> {
    if let Some(template) = Template::named(name) {
        return Ok(template);
    }
    if !name.ends_with(".json") {
        let known: Vec<&str> = Template::names().collect();
        return Err(format!("expected a file whose name ends in .json, or one of {}", known.join(", ")));
    }
    let text = text_of(&beside.join(name)).map_err(|error| format!("cannot read the file: {error}"))?;
    Template::read(&text).map_err(|error| error.to_string())
}

fn faults(raw: &RawFaults) -> Faults {
    let mut faults = Faults::default();
    let share = |share: &Option<Chance>| share.as_ref().map(|Chance(share)| *share);
    put(&mut faults.slow_reader, share(&raw.slow_reader));
    put(&mut faults.hang_up, share(&raw.hang_up));
    put(&mut faults.duplicate, share(&raw.duplicate));
    put(&mut faults.out_of_order, share(&raw.out_of_order));
    put(&mut faults.forged, share(&raw.forged));
    put(&mut faults.slow_for, raw.slow_for.as_ref().map(|Time(time)| *time));
    put(&mut faults.held_for, raw.held_for.as_ref().map(|Time(time)| *time));
    faults
}

fn graph(raw: &RawGraph, wrong: &mut impl FnMut(&str, String)) -> Graph {
    let mut graph = Graph::default();
    let time = |time: &Option<Time>| time.as_ref().map(|Time(time)| *time);
    put(&mut graph.time_scale, raw.time_scale.as_ref().map(|Scale(scale)| *scale));
    put(&mut graph.first_allowance, time(&raw.first_allowance));
    put(&mut graph.repeat_allowance, time(&raw.repeat_allowance));
    put(&mut graph.rules.first_pause, time(&raw.first_pause));
    put(&mut graph.rules.longest_pause, time(&raw.longest_pause));
    put(&mut graph.rules.give_up_after, time(&raw.give_up_after));
    put(&mut graph.rules.probes, raw.probes.as_ref().map(|Whole(probes)| *probes as u32));
    if graph.repeat_allowance < graph.first_allowance {
        wrong("graph.repeat_allowance", "expected at least the first allowance".to_owned());
    }
    if graph.rules.longest_pause < graph.rules.first_pause {
        wrong("graph.longest_pause", "expected at least the first pause".to_owned());
    }
    graph
}

fn expect(raw: &RawExpect) -> Expect {
    let times = [&raw.p50, &raw.p90, &raw.p99, &raw.p99_9];
    Expect {
        latency: times.map(|time| time.as_ref().map(|Time(time)| *time)),
        delivered: raw.delivered.as_ref().map(|Chance(share)| *share),
        delayed: raw.delayed.as_ref().map(|Chance(share)| *share),
    }
}

fn put<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}

/// The key that stands at the begin of the line of this place, with its table.
fn key_at(text: &str, offset: usize) -> String {
    let line = line_of(text, offset);
    let mut table = "";
    let mut key = "";
    for line in text.lines().take(line) {
        let line = line.trim();
        key = "";
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            table = name;
        } else if let Some((name, _)) = line.split_once('=') {
            key = name.trim();
        }
    }
    plain([table, key].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".").as_str())
}

/// Where a dotted key stands; the begin of the text if it does not.
fn place_of(text: &str, key: &str) -> usize {
    let Ok(document) = DeTable::parse(text) else { return 0 };
    let (mut table, mut rest, mut place) = (document.get_ref(), key, 0);
    while let Some((found, value)) = table.iter().find(|(name, _)| {
        rest.strip_prefix(name.get_ref().as_ref())
            .is_some_and(|more| more.is_empty() || more.starts_with('.'))
    }) {
        place = found.span().start;
        rest = rest[found.get_ref().len()..].trim_start_matches('.');
        match value.get_ref() {
            DeValue::Table(inner) if !rest.is_empty() => table = inner,
            DeValue::Table(_)
            | DeValue::Array(_)
            | DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => break,
        }
    }
    place
}

/// Fit for a terminal.
fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escaped: Vec<char> =
                if character.is_control() { character.escape_default().collect() } else { vec![character] };
            escaped
        })
        .collect()
}
