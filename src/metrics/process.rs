//! The usual `process_*` metrics, read from `/proc` when somebody asks.

use std::{fmt, time::SystemTime};

use procfs::{
    WithCurrentSystemInfo,
    process::{LimitValue, Process as Proc},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// Metrics of this process, as Prometheus' client libraries name them.
///
/// The start time is our own: reading it from `/proc` needs `/proc/stat`, which systemd's `ProcSubset=pid` hides.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) started: SystemTime,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        // A system that hides /proc costs these metrics, not the page.
        let Ok(figures) = Figures::read(self.started) else {
            return Ok(());
        };
        let cpu = ConstCounter::new(figures.cpu_seconds);
        let help = "User and system CPU time";
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?)?;
        for (name, help, value) in [
            ("process_start_time_seconds", "Start of the process, unix time", figures.start_seconds),
            ("process_open_fds", "Open file descriptors", figures.open_fds),
            ("process_max_fds", "File descriptors allowed", figures.max_fds),
            ("process_resident_memory_bytes", "Resident memory", figures.resident_bytes),
            ("process_virtual_memory_bytes", "Virtual memory", figures.virtual_bytes),
            ("process_threads", "Threads", figures.threads),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

struct Figures {
    cpu_seconds: f64,
    start_seconds: f64,
    open_fds: f64,
    max_fds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    threads: f64,
}

impl Figures {
    fn read(started: SystemTime) -> procfs::ProcResult<Self> {
        let process = Proc::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let max_fds = match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(limit) => limit as f64,
            LimitValue::Unlimited => f64::INFINITY,
        };
        Ok(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            start_seconds: started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            open_fds: process.fd_count()? as f64,
            max_fds,
            resident_bytes: stat.rss_bytes().get() as f64,
            virtual_bytes: stat.vsize as f64,
            threads: stat.num_threads as f64,
        })
    }
}
