//! The page of the manual, as somebody would paste it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::support::ports::free;
use crate::support::process;

/// What stands in its blocks.
fn blocks() -> String {
    let page = include_str!("../../../docs/simulate-api.md");
    let blocks: Vec<_> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(rest)).collect();
    assert!(blocks.len() > 5, "{} blocks", blocks.len());
    blocks.concat()
}

#[tokio::test]
async fn the_page_does_what_it_says() {
    let directory = tempfile::tempdir().expect("a directory");
    // Other ports than the page's, which somebody may use.
    let [api, dev] = free();
    let blocks = blocks().replace(":8444", &format!(":{api}")).replace(":9443", &format!(":{dev}"));
    // Nothing is left behind, however it ends.
    let script = format!("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{blocks}\nwait\n");
    fs::write(directory.path().join("page"), script).expect("written");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_graphhook"));
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.parent().expect("a directory").display());
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "page"]).current_dir(directory.path()).env_clear().env("PATH", path);
    let output = process::output(&mut bash, Duration::from_secs(60)).await;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}
