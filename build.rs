//! What `graphhook version` tells of the build: the commit, the target, and the versions of the TLS libraries.

#![expect(clippy::disallowed_methods, reason = "cargo talks to a build script by the environment")]

use std::{env, fs, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rerun-if-env-changed=GRAPHHOOK_COMMIT");
    let lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    tell("TARGET", &env::var("TARGET").unwrap_or_default());
    tell("RUSTLS", version_of("rustls", &lock));
    tell("AWS_LC_RS", version_of("aws-lc-rs", &lock));
    tell("COMMIT", &commit());
}

/// The compiler sees it as `GRAPHHOOK_BUILD_…`.
fn tell(name: &str, value: &str) {
    println!("cargo::rustc-env=GRAPHHOOK_BUILD_{name}={value}");
}

/// What the lock file says of a crate.
fn version_of<'a>(name: &str, lock: &'a str) -> &'a str {
    let wanted = format!("name = \"{name}\"");
    let version = lock.lines().skip_while(|line| *line != wanted).nth(1);
    version.and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"')).unwrap_or("unknown")
}

/// What the variable `GRAPHHOOK_COMMIT` says, for builds without a repository; else what git says. Nothing in a
/// development build, which would be made anew after each commit otherwise.
fn commit() -> String {
    if let Ok(commit) = env::var("GRAPHHOOK_COMMIT") {
        return commit;
    }
    if env::var("PROFILE").as_deref() != Ok("release") {
        return String::new();
    }
    for path in ["src", "Cargo.toml", &git(&["rev-parse", "--git-path", "logs/HEAD"])] {
        // A path that is not there would have this run each time.
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
}

fn git(arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).output();
    let output = output.ok().filter(|output| output.status.success());
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
