//! `graphhook check` with certificates that the daemon obtains itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{DOMAIN, Plan, Scene};
use crate::support::daemon::run;
use crate::support::front::Weather;

async fn check(scene: &Scene, more: &[&str]) -> String {
    let file = scene.daemon.directory().join("config.toml");
    let arguments = [&["check", "--config", file.to_str().expect("UTF-8")], more].concat();
    let output = run(&arguments, &[]).await;
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn check_tells_of_cache_and_authority() {
    let scene = Scene::start(Plan { weather: Weather::Down, ..Plan::default() }).await;
    let said = check(&scene, &[]).await;
    for words in [
        &format!("warning  acme           {DOMAIN}: no certificate yet"),
        "failed   acme           https://localhost:",
        "cannot connect to localhost",
        "which the authority must reach as port 443",
        "clock          not compared",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    scene.front.set(Weather::Fair);
    scene.eventually_saved().await;
    let said = check(&scene, &[]).await;
    assert!(said.contains(&format!("ok       acme           {DOMAIN}: 364 days left")), "{said}");
    assert!(said.contains("is an ACME directory"), "{said}");
    assert!(said.contains("clock          agrees with that of https://localhost:"), "{said}");
    assert!(said.contains(" can be written"), "{said}");
    assert_eq!(scene.front.orders().len(), 1, "a check orders nothing");
    let asked = scene.front.directories();
    let said = check(&scene, &["--offline"]).await;
    assert!(!said.contains("is an ACME directory"), "{said}");
    assert_eq!(scene.front.directories(), asked, "it asks nobody");
    let kept = fs::read_dir(scene.cache.path().join("acme")).expect("the cache").flatten().next();
    let kept = kept.expect("the authority's directory").path();
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o755)).expect("changed");
    let said = check(&scene, &["--offline"]).await;
    assert!(
        said.contains("warning  acme") && said.contains("holds private keys, and others may enter it"),
        "{said}"
    );
}
