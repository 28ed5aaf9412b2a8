//! Runs every target over its corpus and over mutations of it, the same ones each time.
//!
//! `MUTATIONS=n` asks for more of them than the 1000 per target (20 where runs are slow).

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use gatepost_fuzz_targets::{TARGETS, Target, meter};

#[global_allocator]
static METER: meter::Meter = meter::Meter;

#[test]
fn every_corpus_passes_with_its_mutations() {
    let mut failed = Vec::new();
    for target in TARGETS {
        let corpus = corpus(target);
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        let mutations = std::env::var("MUTATIONS").ok().and_then(|number| number.parse().ok());
        let mutations = mutations.unwrap_or(1000) / if target.slow { 50 } else { 1 };
        let mut mutator = Mutator::new(target.name);
        let mutated = (0..mutations).map(|_| ("a mutation".to_owned(), mutator.next(&corpus)));
        let inputs = corpus.iter().map(|(path, input)| (path.display().to_string(), input.clone()));
        let failures: Vec<_> = inputs
            .chain(mutated)
            .filter(|(_, input)| catch_unwind(|| (target.run)(input)).is_err())
            .collect();
        println!(
            "{}: {} inputs, {mutations} mutations, {} failures",
            target.name,
            corpus.len(),
            failures.len()
        );
        for (name, input) in failures.iter().take(3) {
            println!("  {name}: {}", input.escape_ascii());
        }
        if !failures.is_empty() {
            failed.push(target.name);
        }
    }
    assert!(failed.is_empty(), "{} failed", failed.join(", "));
}

#[test]
fn every_corpus_belongs_to_a_target() {
    for entry in std::fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(TARGETS.iter().any(|target| *target.name == *name), "{name:?}");
    }
}

#[test]
fn the_meter_sees_what_is_held() {
    let (kept, peak) = meter::peak(|| {
        drop(vec![1_u8; 300_000]);
        vec![1_u8; 100_000]
    });
    assert!((300_000..310_000).contains(&peak), "{peak}");
    assert_eq!(kept.len(), 100_000);
    assert!(catch_unwind(|| meter::within(b"x", || vec![1_u8; 70_000])).is_err());
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

/// The inputs of a target by name.
fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let files = std::fs::read_dir(directory().join(target.name)).into_iter().flatten();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Changes inputs a little, by chance that is the same in every run.
struct Mutator(u64);

impl Mutator {
    fn new(name: &str) -> Self {
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    /// One of the inputs with one to four changes.
    fn next(&mut self, corpus: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].1.clone();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            let end = (at + self.below(16)).min(input.len());
            match self.below(7) {
                0 if at < input.len() => input[at] ^= 1 << self.below(8),
                1 => input.insert(at, SPECIAL[self.below(SPECIAL.len())]),
                2 if at < input.len() => input[at] = SPECIAL[self.below(SPECIAL.len())],
                3 => drop(input.drain(at..end)),
                4 => {
                    let piece = input[at..end].to_vec();
                    let to = self.below(input.len() + 1);
                    input.splice(to..to, piece);
                }
                5 => {
                    let other = &corpus[self.below(corpus.len())].1;
                    let from = self.below(other.len() + 1);
                    let to = (from + self.below(64)).min(other.len());
                    input.splice(at..end, other[from..to].iter().copied());
                }
                _ => input.truncate(at.max(input.len() / 2)),
            }
        }
        input
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }
}

/// Bytes that mean something to one grammar or another.
const SPECIAL: &[u8] = b"\0\x01\t\n\r\x1e \"$%&'()*+,-./019:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\xc3\xff";
