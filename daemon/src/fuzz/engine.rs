//! Runs a target: makes inputs, watches what they do.

use std::time::{Duration, Instant};

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// Executions of a target without `FILEFLEET_FUZZ_SECONDS`.
const EXECUTIONS: u64 = 20_000;
/// How many accepted inputs are kept to be mutated further.
const MAX_CORPUS: usize = 512;
/// The longest input that is made.
const MAX_INPUT: usize = 4_096;
/// What most decoders may allocate however short their input is: texts of errors.
const FREE_MEMORY: u64 = 4 << 10;
/// What it may allocate for each byte of input: lists of small items, and JSON's tree of them.
const MEMORY_PER_BYTE: u64 = 96;

/// Fuzzes `check`, which decodes its input, says whether that was accepted, and asserts what must hold
/// of what was. `seeds` must be accepted: they are where mutation starts.
pub(super) fn fuzz(name: &str, seeds: Vec<Vec<u8>>, check: impl Fn(&[u8]) -> bool) {
    fuzz_within(FREE_MEMORY, name, seeds, check);
}

/// [`fuzz`] for a decoder that may allocate `free_memory` bytes however short its input is.
pub(super) fn fuzz_within(
    free_memory: u64,
    name: &str,
    seeds: Vec<Vec<u8>>,
    check: impl Fn(&[u8]) -> bool,
) {
    for seed in &seeds {
        assert!(check(seed), "{name}: a seed is not accepted: {}", seed.escape_ascii());
    }
    let limit = seconds();
    let mut mutator = Mutator { rng: rng(name, limit.is_some()), corpus: seeds };
    let (mut executions, mut accepted, mut peak) = (0_u64, 0_u64, 0);
    let began = Instant::now();
    let goes_on = |executions| match limit {
        Some(limit) => began.elapsed() < limit,
        None => executions < EXECUTIONS,
    };
    while goes_on(executions) {
        let input = mutator.input();
        let shown = ShownInPanic(name, &input);
        let mut is_accepted = false;
        let memory = allocation_counter::measure(|| is_accepted = check(&input)).bytes_max;
        assert!(
            memory <= free_memory + MEMORY_PER_BYTE * input.len() as u64,
            "{memory} bytes were allocated for {}",
            input.len()
        );
        drop(shown);
        (executions, peak) = (executions + 1, memory.max(peak));
        if is_accepted {
            accepted += 1;
            mutator.keep(input);
        }
    }
    assert!(accepted > 0, "{name}: nothing was accepted");
    println!("fuzz {name}: {executions} executions, {accepted} accepted, at most {peak} bytes");
}

/// How long each target runs, if it was said.
fn seconds() -> Option<Duration> {
    let seconds = std::env::var("FILEFLEET_FUZZ_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().unwrap()))
}

/// Random numbers: of the target's name or, for a long run, new ones.
pub(super) fn rng(name: &str, fresh: bool) -> TestRng {
    let mut seed = *blake3::hash(name.as_bytes()).as_bytes();
    if fresh {
        getrandom::fill(&mut seed).unwrap();
    }
    TestRng::from_seed(RngAlgorithm::ChaCha, &seed)
}

/// A number below `end`, or 0.
pub(super) fn below(rng: &mut impl Rng, end: usize) -> usize {
    let random = usize::try_from(rng.next_u32()).unwrap();
    random.checked_rem(end).unwrap_or(0)
}

/// Prints the input if the thread panics while this is alive.
struct ShownInPanic<'a>(&'a str, &'a [u8]);

impl Drop for ShownInPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("fuzz {}: broken by b\"{}\"", self.0, self.1.escape_ascii());
        }
    }
}

struct Mutator {
    rng: TestRng,
    corpus: Vec<Vec<u8>>,
}

impl Mutator {
    fn input(&mut self) -> Vec<u8> {
        if self.below(16) == 0 {
            return self.noise(512);
        }
        let mut input = self.pick().clone();
        for _ in 0..=self.below(4) {
            self.mutate(&mut input);
        }
        input.truncate(MAX_INPUT);
        input
    }

    fn keep(&mut self, input: Vec<u8>) {
        if self.corpus.len() < MAX_CORPUS {
            self.corpus.push(input);
        } else {
            let at = self.below(self.corpus.len());
            self.corpus[at] = input;
        }
    }

    fn below(&mut self, end: usize) -> usize {
        below(&mut self.rng, end)
    }

    fn pick(&mut self) -> &Vec<u8> {
        let at = self.below(self.corpus.len());
        &self.corpus[at]
    }

    fn noise(&mut self, most: usize) -> Vec<u8> {
        let mut noise = vec![0; self.below(most)];
        self.rng.fill_bytes(&mut noise);
        noise
    }

    /// One change, anywhere.
    fn mutate(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let end = (at + self.below(16)).min(input.len());
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.odd_byte(),
            2 => {
                let number = self.odd_number();
                overwrite(input, at, &number);
            }
            3 => drop(input.drain(at..end)),
            4 => {
                let copy = input[at..end].to_vec();
                input.splice(at..at, copy);
            }
            5 => {
                let noise = self.noise(16);
                input.splice(at..at, noise);
            }
            6 => input.truncate(at),
            7 => {
                let other = self.pick().clone();
                let from = self.below(other.len() + 1);
                input.splice(at.., other[from..].iter().copied());
            }
            _ => input.push(self.odd_byte()),
        }
    }

    /// A byte that means something to some format.
    fn odd_byte(&mut self) -> u8 {
        const ODD: &[u8] = b"\x00\x01\x02\x7f\x80\xff/.\\\"{}[],:#?&=\n 09-";
        match self.below(4) {
            0 => self.rng.next_u32().to_le_bytes()[0],
            _ => ODD[self.below(ODD.len())],
        }
    }

    /// A number at the edge of something, in network order, 2, 4 or 8 bytes wide.
    fn odd_number(&mut self) -> Vec<u8> {
        const EDGES: &[u64] =
            &[0, 1, 255, 256, 4_096, 65_535, 1 << 20, (1 << 20) + 1, 1 << 31, 1 << 63];
        let number = match self.below(3) {
            0 => u64::MAX,
            1 => self.rng.next_u64(),
            _ => EDGES[self.below(EDGES.len())],
        };
        let width = [2, 4, 8][self.below(3)];
        number.to_be_bytes()[8 - width..].to_vec()
    }
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (old, new) in input[at..].iter_mut().zip(bytes) {
        *old = *new;
    }
}
