//! Receivers that do not do what they must, and what Graph would have done about it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::{Manner, Play, Receiver, check, number};
use crate::support::daemon::{Daemon, run};
use crate::support::eventually::eventually;

#[tokio::test]
async fn a_receiver_that_keeps_nothing_is_found_out() {
    let daemon = Daemon::configure().connected().await;
    let liar = Receiver::open(Manner::Status(202)).await;
    let config = daemon.directory().join("config.toml").display().to_string();
    let play = Play::new("rate = \"flat_out\"\ncount = 40\nconnections = 2\n");
    let report = play.with(&[&liar.url(), "--config", &config, "--settle", "1s"]).report(1).await;
    check(
        &report,
        &[("/notifications/delivered", 40), ("/broker/arrived", 0), ("/broker/accepted_never_arrived", 40)],
    );
    assert_eq!(report["broker"]["missing"].as_array().map(Vec::len), Some(10));
    assert_eq!(report["verdicts"][2]["what"], "40 notifications were accepted (2xx) and never arrived");
    assert_eq!(report["verdicts"][2]["passed"], false);
    assert_eq!(liar.many(), 40);
}

#[tokio::test]
async fn who_answers_late_is_called_slow_and_gets_its_notifications_late_and_twice() {
    let late = Receiver::open(Manner::Late(Duration::from_millis(300))).await;
    // Ten minutes are one second.
    let scenario = r#"
        rate = 20
        duration = "2s"
        connections = 100
        [graph]
        time_scale = 600
        first_allowance = "100ms"
        repeat_allowance = "10s"
    "#;
    let report = Play::new(scenario).with(&[&late.url()]).report(1).await;
    let delayed = number(&report, "/notifications/delayed");
    assert!((5..40).contains(&delayed), "{report:#}");
    assert!(number(&report, "/graph/became_slow") > 0, "{report:#}");
    check(
        &report,
        &[
            ("/notifications/delivered", 40),
            ("/notifications/delivered_after_retries", 40),
            ("/notifications/retried", 40),
            ("/notifications/acknowledged_too_late", 40),
            ("/latency_ms/in_vain/count", 40),
            ("/notifications/dropped", 0),
            ("/requests/no_answer_in_time", 40),
            ("/requests/status/202", 40),
        ],
    );
    assert_eq!(report["verdicts"][0]["passed"], true);
    assert_eq!(report["verdicts"][1]["passed"], false);
    assert!(report["graph"]["slow_seconds"].as_f64().expect("seconds") > 500.0, "{report:#}");
}

#[tokio::test]
async fn who_never_answers_is_dropped_and_given_up() {
    let silent = Receiver::open(Manner::Never).await;
    let scenario = r#"
        rate = 30
        duration = "3s"
        drain = "5s"
        connections = 100
        [graph]
        time_scale = 600
        first_allowance = "30ms"
        repeat_allowance = "60ms"
        give_up_after = "10m"
    "#;
    let report = Play::new(scenario).with(&[&silent.url()]).report(1).await;
    let sums = ["delivered", "dropped", "given_up", "waiting"];
    let [delivered, dropped, given_up, waiting] =
        sums.map(|name| number(&report, &format!("/notifications/{name}")));
    assert_eq!((delivered, waiting), (0, 0), "{report:#}");
    assert!(dropped > 20 && given_up > 0, "{report:#}");
    check(&report, &[("/notifications/planned", dropped + given_up)]);
    assert!(number(&report, "/graph/became_dropped") > 0, "{report:#}");
}

#[tokio::test]
async fn what_is_refused_is_sent_again_unchanged_with_growing_pauses_for_four_hours() {
    let broken = Receiver::open(Manner::Status(500)).await;
    // Four hours are four seconds.
    let scenario = "rate = 100\ncount = 10\n[graph]\ntime_scale = 3600\n";
    let report = Play::new(scenario).with(&[&broken.url()]).report(1).await;
    check(
        &report,
        &[
            ("/notifications/planned", 10),
            ("/notifications/retried", 10),
            ("/notifications/given_up", 10),
            ("/notifications/delivered", 0),
            // Quick refusals make nobody slow.
            ("/graph/became_slow", 0),
            ("/requests/status/500", broken.many()),
        ],
    );
    // Eight pauses from 10 s to 1280 s, then half hours; a tenth more or less, and what a busy machine adds.
    let mut attempts = BTreeMap::<_, u64>::new();
    for body in broken.bodies() {
        *attempts.entry(body).or_default() += 1;
    }
    assert_eq!(attempts.len(), 10, "a repetition was changed");
    assert!(attempts.values().all(|many| (10..=17).contains(many)), "{:?}", attempts.values());
    let pause = |report: &serde_json::Value| report["elapsed_seconds"].as_f64().expect("seconds");
    assert!(pause(&report) > 2.5, "{report:#}");
}

#[tokio::test]
async fn nobody_there_is_told_and_an_interrupted_run_is_told_of_too() {
    let play = Play::new("rate = 10\nduration = \"1h\"\n").with(&["http://127.0.0.1:1/hook"]);
    let output = play.output().await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.contains("nobody is there at 127.0.0.1:1: no connection"), "{said}");

    let receiver = Receiver::open(Manner::Status(202)).await;
    let play = Play::new("rate = 200\nduration = \"1h\"\n").with(&[&receiver.url()]);
    let mut playing = play.start();
    eventually("some POSTs", async || (receiver.many() > 20).then_some(())).await;
    playing.signal("INT");
    let code = playing.exit().await;
    let report: serde_json::Value = serde_json::from_str(&playing.out()).expect("JSON");
    assert_eq!((code, &report["interrupted"]), (Some(1), &serde_json::Value::Bool(true)), "{report:#}");
    assert_eq!(report["passed"], false);
    check(&report, &[("/notifications/delivered", receiver.many()), ("/notifications/unsent", 0)]);
    assert!(!playing.err().contains('\r'), "a line for terminals: {}", playing.err());
}

#[tokio::test]
async fn a_status_that_only_forgeries_get_fails_a_run() {
    let wary = Receiver::open(Manner::Wary).await;
    let scenario = "rate = 200\ncount = 60\n[faults]\nforged = 0.3\n[graph]\ntime_scale = 36000\n";
    let report = Play::new(scenario).with(&[&wary.url()]).report(1).await;
    let forged = number(&report, "/forged/sent");
    check(&report, &[("/notifications/delivered", 60 - forged), ("/forged/alone/sent", forged)]);
    let failed: Vec<_> = report["verdicts"].as_array().expect("verdicts").iter().collect();
    let failed: Vec<_> = failed.into_iter().filter(|verdict| verdict["passed"] == false).collect();
    let what = failed[0]["what"].as_str().expect("words");
    assert!(
        failed.len() == 1 && what.contains("of forgeries alone were answered other than 2xx"),
        "{report:#}"
    );
}

#[tokio::test]
async fn a_storm_that_nobody_answers_is_sent_whole_and_has_no_rate_of_answers() {
    let silent = Receiver::open(Manner::Never).await;
    let url = silent.url();
    let storm = ["simulate", "storm", &url, "--no-client-state", "--count", "6", "--connections", "4"];
    let output = run(&[&storm[..], &["--json"]].concat(), &[]).await;
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    check(
        &report,
        &[
            ("/format", 1),
            ("/notifications/sent", 6),
            ("/notifications/given_up", 6),
            ("/notifications/delayed", 0),
            ("/notifications/waiting", 0),
            ("/latency_ms/in_vain/count", 6),
        ],
    );
    assert_eq!(
        (report["answers_per_second"].as_f64(), &report["latency_ms"]["all"]),
        (Some(0.0), &Value::Null)
    );
}
