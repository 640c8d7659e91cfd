//! Libraries in C that stand between the program and the system, loaded by `LD_PRELOAD`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

/// Compiles `tests/it/support/NAME.c`; returns the library.
pub fn compile(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(directory).expect("cargo's directory for tests can be made");
    let built = directory.join(format!("{name}.{}.so", process::id()));
    let library = directory.join(format!("{name}.so"));
    let status = Command::new("cc")
        .args(["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-O1"])
        .args(["-shared", "-fPIC", "-fvisibility=hidden", "-o"])
        .arg(&built)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/support/{name}.c")))
        .status()
        .expect("cc can be started");
    assert!(status.success(), "{name}.c does not compile");
    // Other test processes do the same: whoever has loaded an older file keeps it.
    fs::rename(&built, &library).expect("a file can be renamed");
    library
}
