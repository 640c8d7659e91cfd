//! Pages of the manual, as somebody would paste them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::ports::free;
use super::process;

/// Runs the blocks of a page, of which there are at least so many, in one shell: with other ports than these, which
/// somebody may use.
pub async fn paste<const PORTS: usize>(page: &str, least: usize, ports: [u16; PORTS]) {
    let blocks: Vec<_> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(rest)).collect();
    assert!(blocks.len() >= least, "{} blocks", blocks.len());
    let others: [u16; PORTS] = free();
    let blocks = ports.iter().zip(others).fold(blocks.concat(), |blocks, (port, other)| {
        blocks.replace(&format!(":{port}"), &format!(":{other}"))
    });
    // Nothing is left behind, however it ends.
    let script = format!("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{blocks}\nwait\n");
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("page"), script).expect("written");
    let program = Path::new(env!("CARGO_BIN_EXE_graphhook"));
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.parent().expect("a directory").display());
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "page"]).current_dir(directory.path()).env_clear().env("PATH", path);
    let output = process::output(&mut bash, Duration::from_secs(120)).await;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}
