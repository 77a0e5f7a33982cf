//! Machine: what the figures were taken on.

use std::fs;

/// Processors, memory, kernel, and how busy it is.
pub(super) fn text() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    let meminfo = read("/proc/meminfo");
    let total = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    format!(
        "{} x {}, {} GB, Linux {}, load {}",
        std::thread::available_parallelism().map_or(1, usize::from),
        model.as_deref().unwrap_or("a processor without a name"),
        kilobytes.unwrap_or(0) >> 20,
        read("/proc/sys/kernel/osrelease").trim(),
        load()
    )
}

/// The load of the last minute.
fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}
