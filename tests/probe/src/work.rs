//! Work that is measured: `probe work KIND [MB [WRITERS]]` tells four times a second how much it has done.

use std::fs::File;
use std::hint::black_box;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::{Duration, Instant};

use crate::{Attack, Tried};

pub(crate) const ALL: &[Attack] = &[("work", work)];

/// The time between two lines.
const TOLD: Duration = Duration::from_millis(250);
/// One write of `io`.
const BLOCK: usize = 64 << 10;
const PAGE: usize = 4096;

/// Rounds of arithmetic, pages changed in turn, blocks written and synced, or memory taken and given back
/// beside files that do not fit into it. Of several writers the first alone is told of.
fn work(arguments: &[String]) -> Tried {
    let kind = arguments.first().map_or("cpu", String::as_str);
    let megabytes: usize = arguments
        .get(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(16);
    let writers: usize = arguments
        .get(2)
        .and_then(|word| word.parse().ok())
        .unwrap_or(1);
    let ended = match kind {
        "cpu" => cpu(),
        "memory" => memory(megabytes),
        "io" => io(megabytes, writers),
        "thrash" => thrash(megabytes),
        other => return Tried::Impossible(format!("no work is called {other}")),
    };
    match ended {
        Ok(()) => Tried::Impossible("the work has an end".into()),
        Err(error) => Tried::Impossible(error.to_string()),
    }
}

/// Tells the sum so far, not too often.
struct Tell {
    begun: Instant,
    last: Instant,
    done: u64,
}

impl Tell {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            last: now,
            done: 0,
        }
    }

    fn add(&mut self, units: u64) -> std::io::Result<()> {
        self.done += units;
        if self.last.elapsed() >= TOLD {
            self.last = Instant::now();
            let mut out = std::io::stdout();
            writeln!(out, "{} {}", self.begun.elapsed().as_millis(), self.done)?;
            out.flush()?;
        }
        Ok(())
    }
}

fn cpu() -> std::io::Result<()> {
    let mut tell = Tell::new();
    let mut sum = 1_u64;
    loop {
        for round in 0..20_000_u64 {
            sum = black_box(sum.wrapping_mul(31).wrapping_add(round));
        }
        tell.add(1)?;
    }
}

fn memory(megabytes: usize) -> std::io::Result<()> {
    let mut pages = vec![1_u8; megabytes << 20];
    let mut tell = Tell::new();
    loop {
        for chunk in pages.chunks_mut(PAGE * 64) {
            for place in (0..chunk.len()).step_by(PAGE) {
                chunk[place] = black_box(chunk[place].wrapping_add(1));
            }
            tell.add(64)?;
        }
    }
}

fn io(megabytes: usize, writers: usize) -> std::io::Result<()> {
    for other in 1..writers {
        std::thread::spawn(move || write(&format!("written-{other}"), megabytes, || Ok(())));
    }
    let mut tell = Tell::new();
    write("written", megabytes, || tell.add(1))
}

fn write(
    name: &str,
    megabytes: usize,
    mut written: impl FnMut() -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut file = File::create(name)?;
    let block = vec![7_u8; BLOCK];
    loop {
        file.seek(SeekFrom::Start(0))?;
        for _ in 0..(megabytes << 20) / BLOCK {
            file.write_all(&block)?;
            file.sync_data()?;
            written()?;
        }
    }
}

fn thrash(megabytes: usize) -> std::io::Result<()> {
    let mut tell = Tell::new();
    loop {
        let mut file = File::create("thrashed")?;
        let mut taken = vec![0_u8; megabytes << 19];
        for place in (0..taken.len()).step_by(PAGE) {
            taken[place] = 1;
        }
        for block in black_box(&taken).chunks(BLOCK) {
            file.write_all(block)?;
            file.write_all(block)?;
        }
        drop(taken);
        std::io::copy(&mut File::open("thrashed")?, &mut std::io::sink())?;
        tell.add(1)?;
    }
}
