//! The fuzzer: runs the target that the environment variable `TARGET` names under libFuzzer.
#![no_main]

use std::sync::OnceLock;

use gatepost_fuzz_targets::{TARGETS, Target, find, meter::Meter};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static METER: Meter = Meter;

static CHOSEN: OnceLock<&Target> = OnceLock::new();

fuzz_target!(init: { chosen(); }, |input: &[u8]| (chosen().run)(input));

fn chosen() -> &'static Target {
    CHOSEN.get_or_init(|| {
        let name = std::env::var("TARGET").unwrap_or_default();
        find(&name).unwrap_or_else(|| {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            eprintln!("TARGET={name} names no target; there are {}", names.join(" "));
            std::process::exit(2)
        })
    })
}
