//! A real Prometheus, of Debian's package of that name, for one test.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::form_urlencoded;

use super::daemon::{collect, leashed};
use super::eventually::{eventually_within, seen_within};
use super::{https, ports};

/// Prometheus with data of its own, until dropped. It scrapes, and evaluates its rules, each second.
pub struct Prometheus {
    address: SocketAddr,
    log: Arc<Mutex<String>>,
    process: Child,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts one with these rules, which scrapes this address as the job `graphhook`.
    pub async fn scraping(target: SocketAddr, rules: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let configuration = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "rule_files": ["rules.yml"],
            "scrape_configs": [{
                "job_name": "graphhook",
                "static_configs": [{ "targets": [target.to_string()] }],
            }],
        });
        // JSON is YAML as well.
        let file = directory.path().join("prometheus.yml");
        fs::write(&file, configuration.to_string()).expect("the directory can be written");
        fs::write(directory.path().join("rules.yml"), rules).expect("the directory can be written");
        let [port] = ports::free();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = Command::new("prometheus");
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        let mut process = leashed(&command, "").spawn().expect("sh can be started");
        let log = Arc::default();
        // They end with the process.
        drop(collect(process.stdout.take().expect("standard output is piped"), &log));
        drop(collect(process.stderr.take().expect("standard error is piped"), &log));
        let prometheus = Self { address, log, process, _directory: directory };
        let ready = async || prometheus.get("/-/ready").await.filter(|(status, _)| *status == 200);
        assert!(seen_within(BOUND, ready).await.is_some(), "Prometheus does not start: {}", prometheus.log());
        prometheus
    }

    /// The result of an expression now, or what is wrong with it.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
        let answer = self.api(&format!("query?{query}")).await;
        answer["data"]["result"].as_array().cloned().ok_or_else(|| answer.to_string())
    }

    /// Waits until the target was scraped, and every rule evaluated after that without an error.
    pub async fn eventually_evaluated(&self) {
        eventually_within(BOUND, "the target is up", async || {
            self.query("up == 1").await.ok().filter(|up| !up.is_empty())
        })
        .await;
        let seen = self.evaluations().await;
        eventually_within(BOUND, "all groups of rules are evaluated once more", async || {
            self.evaluations().await.is_disjoint(&seen).then_some(())
        })
        .await;
        for rule in self.groups().await.iter().flat_map(rules) {
            assert_eq!(rule["health"], "ok", "{} says {}", rule["name"], rule["lastError"]);
        }
    }

    /// The alerts that fire.
    pub async fn firing(&self) -> Vec<Value> {
        let answer = self.api("alerts").await;
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        alerts.into_iter().filter(|alert| alert["state"] == "firing").collect()
    }

    /// When each group was evaluated last.
    async fn evaluations(&self) -> BTreeSet<String> {
        self.groups()
            .await
            .iter()
            .map(|group| format!("{} {}", group["name"], group["lastEvaluation"]))
            .collect()
    }

    async fn groups(&self) -> Vec<Value> {
        let answer = self.api("rules").await;
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        assert!(!groups.is_empty(), "Prometheus has no rules: {answer}");
        groups
    }

    async fn api(&self, path: &str) -> Value {
        let answer = self.get(&format!("/api/v1/{path}")).await;
        let (_, text) = answer.unwrap_or_else(|| panic!("no answer to {path}: {}", self.log()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in the answer to {path}: {text}"))
    }

    async fn get(&self, path: &str) -> Option<(u16, String)> {
        let reply = https::plain(self.address, https::request(Method::GET, path, &[], "")).await.ok()?;
        Some((reply.status, reply.text().to_owned()))
    }

    fn log(&self) -> String {
        self.log.lock().expect("a reader does not panic").clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn rules(group: &Value) -> &[Value] {
    group["rules"].as_array().map_or(&[], Vec::as_slice)
}

const BOUND: Duration = Duration::from_secs(60);
