//! The units as they ship.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::process;

const SERVICE: &str = "graphhook.service";
const INSTANCE: &str = "graphhook@.service";

/// A copy of the units in which the program stands where it was built.
fn units() -> (TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().expect("a directory");
    let shipped = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")).expect("the units");
    let mut paths = Vec::new();
    for unit in shipped {
        let unit = unit.expect("a unit").path();
        if unit.extension().is_some_and(|extension| extension == "service" || extension == "socket") {
            let text = fs::read_to_string(&unit).expect("a unit");
            let path = directory.path().join(unit.file_name().expect("a name"));
            fs::write(&path, text.replace("/usr/bin/graphhook", env!("CARGO_BIN_EXE_graphhook")))
                .expect("written");
            paths.push(path);
        }
    }
    assert!(paths.len() >= 4, "{paths:?}");
    (directory, paths)
}

async fn analyze(arguments: &[&str], units: &[PathBuf]) -> Output {
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(arguments).args(units);
    process::output(&mut analyze, Duration::from_secs(30)).await
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// No mistake, and no key that systemd does not know.
#[tokio::test]
async fn systemd_accepts_the_units() {
    let (_directory, mut units) = units();
    // A template is verified as one of its instances.
    for unit in &mut units {
        if unit.file_name().is_some_and(|name| name == INSTANCE) {
            let instance = unit.with_file_name("graphhook@mail.service");
            fs::rename(&unit, &instance).expect("renamed");
            *unit = instance;
        }
    }
    let output = analyze(&["verify", "--man=no"], &units).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!said(&output).contains("graphhook"), "{}", said(&output));
}

/// Exposure of at most 1.5 ("OK"), on a scale up to 10; `systemd-analyze security` tells what it consists of.
#[tokio::test]
async fn the_services_are_hardened() {
    let (_directory, units) = units();
    let services = units.into_iter().filter(|unit| unit.extension().is_some_and(|it| it == "service"));
    for service in services {
        let output = analyze(&["security", "--offline=true", "--threshold=15"], &[service]).await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(said(&output).contains("Overall exposure level"), "{}", said(&output));
    }
}

/// An instance differs from the service in its name and its directories, and in nothing else.
#[test]
fn an_instance_is_the_service_but_for_its_directories() {
    let lines = |name: &str| -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name);
        let text = fs::read_to_string(path).expect("a unit");
        let settings = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        settings.map(str::to_owned).collect()
    };
    let single: Vec<String> = lines(SERVICE)
        .into_iter()
        .flat_map(|line| match line.as_str() {
            "StateDirectory=graphhook" => vec![
                "StateDirectory=graphhook/%i".to_owned(),
                "Environment=GRAPHHOOK_SPOOL__DIRECTORY=/var/lib/graphhook/%i/spool".to_owned(),
                "Environment=GRAPHHOOK_SERVER__TLS__CACHE=/var/lib/graphhook/%i/acme".to_owned(),
            ],
            "ConfigurationDirectory=graphhook" => vec!["ConfigurationDirectory=graphhook/%i".to_owned()],
            _ if line.starts_with("Description=") => vec![format!("{line} (%i)")],
            _ => vec![line.replace("/etc/graphhook/", "/etc/graphhook/%i/")],
        })
        .collect();
    assert_eq!(lines(INSTANCE), single);
}
