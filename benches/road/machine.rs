//! What the figures were measured on.

use std::fs;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

/// For people.
pub(crate) fn words() -> String {
    let told = told();
    let part = |name: &str| told[name].as_str().unwrap_or("?").to_owned();
    format!(
        "{} cores, {}, {} MiB\nLinux {}, {}, RabbitMQ {}, graphhook {}\n",
        told["cores"],
        part("processor"),
        told["memory_mib"],
        part("kernel"),
        part("rustc"),
        part("rabbitmq"),
        part("graphhook"),
    )
}

/// For programs.
pub(crate) fn told() -> Value {
    let of_file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let memory = field(&of_file("/proc/meminfo"), "MemTotal");
    let kib: u64 =
        memory.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default();
    json!({
        "cores": thread::available_parallelism().map_or(1, usize::from),
        "processor": field(&of_file("/proc/cpuinfo"), "model name"),
        "memory_mib": kib >> 10,
        "kernel": of_file("/proc/sys/kernel/osrelease").trim(),
        "rustc": said(Command::new("rustc").arg("--version")),
        "rabbitmq": rabbitmq(),
        "graphhook": env!("CARGO_PKG_VERSION"),
    })
}

/// The version is in the name of the directory where the package puts it.
fn rabbitmq() -> String {
    let directories = fs::read_dir("/usr/lib/rabbitmq/lib").into_iter().flatten().flatten();
    let names = directories.filter_map(|entry| entry.file_name().into_string().ok());
    let mut versions = names.filter_map(|name| name.strip_prefix("rabbitmq_server-").map(str::to_owned));
    versions.next().unwrap_or_else(|| "?".to_owned())
}

fn said(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}
