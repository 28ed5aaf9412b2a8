//! Where and when a run was made: figures without it say nothing.

use std::fs;
use std::process::Command;

use crate::rounds::Plan;
use crate::server::Product;

/// A few lines of text.
pub(crate) fn describe(plan: &Plan, products: &[Box<dyn Product>]) -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&cpuinfo, "model name").unwrap_or("unknown processor");
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let date = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output();
    let date =
        date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let versions: Vec<String> =
        products.iter().map(|product| format!("{}: {}", product.name(), product.version())).collect();
    format!(
        "{date}; {model}, {cores} cores; Linux {}; load average at the end {}\n\
         {}\n\
         {} rounds; {} s each timed measurement; {} idle sessions; medians, and ratio's median (least..most) over rounds\n",
        kernel.trim(),
        load.split_whitespace().next().unwrap_or("unknown"),
        versions.join("; "),
        plan.rounds,
        plan.seconds,
        plan.sessions,
    )
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}
