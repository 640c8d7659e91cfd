//! What the operator can see, and what nobody can.

use crate::support::daemon::{CONNECTION_UP, Daemon, SECRET};
use crate::support::graph::{changed, created, post};

#[tokio::test]
async fn every_series_stands_there_from_the_start() {
    let daemon = Daemon::configure().start().await;
    let metrics = daemon.metrics().await;
    for name in [
        r#"graphhook_http_requests_total{route="notifications",status="202"}"#,
        r#"graphhook_http_requests_total{route="notifications",status="503"}"#,
        r#"graphhook_http_requests_total{route="handshake",status="200"}"#,
        r#"graphhook_http_request_duration_seconds_bucket{le="2.5",route="notifications"}"#,
        r#"graphhook_handshakes_total{result="echoed"}"#,
        r#"graphhook_notifications_received_total{kind="notification"}"#,
        r#"graphhook_notifications_received_total{kind="lifecycle"}"#,
        r#"graphhook_notifications_outcome_total{outcome="published"}"#,
        r#"graphhook_notifications_outcome_total{outcome="spooled"}"#,
        r#"graphhook_notifications_outcome_total{outcome="refused"}"#,
        r#"graphhook_notifications_outcome_total{outcome="unavailable"}"#,
        r#"graphhook_notifications_refused_total{reason="missing"}"#,
        r#"graphhook_notifications_refused_total{reason="mismatch"}"#,
        r#"graphhook_notifications_refused_total{reason="unknown_subscription"}"#,
        r#"graphhook_notifications_refused_total{reason="malformed"}"#,
        r#"graphhook_amqp_publish_total{result="ack"}"#,
        r#"graphhook_amqp_publish_total{result="nack"}"#,
        r#"graphhook_amqp_publish_total{result="returned"}"#,
        r#"graphhook_amqp_publish_total{result="closed"}"#,
        r#"graphhook_amqp_publish_total{result="late"}"#,
        r#"graphhook_amqp_publish_total{result="blocked"}"#,
        "graphhook_amqp_confirm_duration_seconds_count",
        CONNECTION_UP,
        "graphhook_amqp_connection_blocked",
        "graphhook_notifications_in_flight",
        "graphhook_conservation_error",
        r#"graphhook_tls_certificate_not_after_timestamp_seconds{host="localhost"}"#,
        r#"graphhook_tls_reloads_total{result="taken"}"#,
        r#"graphhook_tls_reloads_total{result="refused"}"#,
        "graphhook_config_last_reload_successful",
        "graphhook_config_last_reload_success_timestamp_seconds",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        assert!(metrics.find(name).is_some(), "no {name}");
    }
    assert_eq!(metrics.sum("graphhook_build_info"), 1.0);
    for edge in ["0.1", "1.0", "2.5", "3.0", "10.0"] {
        let bucket = format!("graphhook_http_request_duration_seconds_bucket{{le=\"{edge}\"");
        assert!(metrics.names().any(|name| name.starts_with(&bucket)), "no edge at {edge}");
    }
}

#[tokio::test]
async fn pages_and_methods() {
    let daemon = Daemon::configure().connected().await;
    assert_eq!(daemon.get_admin("/livez").await, (200, "alive\n".to_owned()));
    assert_eq!(daemon.get_admin("/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(daemon.get_admin("/nothing").await.0, 404);
    let (status, page) = daemon.get_admin("/status").await;
    assert_eq!(status, 200);
    let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    assert_eq!(page["ready"], true);
    assert_eq!(page["broker"]["state"], "up");
    assert_eq!(page["listeners"][0], daemon.public().to_string());
}

#[tokio::test]
async fn requests_are_counted_once_with_their_status() {
    let daemon = Daemon::configure().connected().await;
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 202);
    assert_eq!(daemon.client().get("/nothing").await.status, 404);
    let metrics = daemon.metrics().await;
    let of = |route: &str, status: u16| {
        metrics.get(&format!(r#"graphhook_http_requests_total{{route="{route}",status="{status}"}}"#))
    };
    assert_eq!((of("notifications", 202), of("other", 404)), (1.0, 1.0));
    assert_eq!(metrics.sum("graphhook_http_requests_total"), 2.0);
    let answered = r#"graphhook_http_request_duration_seconds_count{route="notifications"}"#;
    assert_eq!(metrics.get(answered), 1.0);
}

#[tokio::test]
async fn no_secret_is_shown_anywhere() {
    let password = "guest:guest";
    let daemon = Daemon::configure().set("log", "level", "\"debug\"").connected().await;
    let forged = "the canary of a forger";
    let reply = post(&daemon.client(), [created("a"), changed("b", "created", forged)]).await;
    assert_eq!(reply.status, 202);
    let token = "/graph/notifications?validationToken=canary-token";
    assert_eq!(daemon.client().post(token, &[], "").await.status, 200);
    daemon.eventually_logs("notification refused").await;
    let mut shown = daemon.log();
    for path in ["/livez", "/readyz", "/metrics", "/status"] {
        shown += &daemon.get_admin(path).await.1;
    }
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    shown += &daemon.log();
    for secret in [SECRET, forged, password, "canary-token"] {
        assert!(!shown.contains(secret), "{secret:?} is shown");
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_is_in_the_books() {
    use crate::support::broker::Node;
    use crate::support::cut::Cut;
    use crate::support::graph::{PATH, collection};

    let cut = Cut::to_port(Node::shared().port()).await;
    let daemon = Daemon::configure().broker(Node::shared().url_by(cut.port())).connected().await;
    cut.stall_answers();
    let mut raw = daemon.client().raw().await;
    let body = collection([created("gone")]);
    let length = body.len();
    raw.send(format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}")).await;
    daemon.eventually_metric("graphhook_notifications_in_flight", |open| open == 1.0).await;
    drop(raw);
    let unavailable = r#"graphhook_notifications_outcome_total{outcome="unavailable"}"#;
    daemon.eventually_metric(unavailable, |count| count == 1.0).await;
    assert_eq!(daemon.metrics().await.get("graphhook_notifications_in_flight"), 0.0);
    cut.heal();
    daemon.eventually_metric("graphhook_amqp_in_flight", |open| open == 0.0).await;
}
