//! Instructions, counted by valgrind's callgrind.
//!
//! One process does all cases, first N times and then 2N times, and callgrind writes its counter down at every turn from
//! one to the next. The difference of the two is what N repetitions cost: whatever is done once cancels out.

use std::{
    env, fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use crate::{
    cases::{self, Case},
    table::{self, Line},
};

/// The argument by which a process under valgrind knows what it is for.
pub(crate) const TURNS: &str = "--turns";

/// Counts, and prints.
pub(crate) fn show() {
    table::print(&count());
}

/// Counts, and writes it down.
pub(crate) fn write() {
    let lines = count();
    table::print(&lines);
    table::write(&lines);
}

/// Counts, and fails if it is not what was written down.
pub(crate) fn hold() -> ExitCode {
    let lines = count();
    table::print(&lines);
    let wrong = table::compare(&lines, &table::read());
    for sentence in &wrong {
        println!("{sentence}");
    }
    match wrong.is_empty() {
        true => ExitCode::SUCCESS,
        false => {
            println!(
                "if that is meant: cargo bench --bench hot -- --count --write, and say why in the commit"
            );
            ExitCode::FAILURE
        }
    }
}

/// What valgrind runs.
pub(crate) fn take_turns(cases: Vec<Case>) {
    for Case { name: _, many, mut work } in cases {
        let repetitions = (REPETITIONS / many).max(1);
        // What the first one finds unready is not counted.
        work();
        for repetitions in [repetitions, 2 * repetitions] {
            turn();
            (0..repetitions).for_each(|_| work());
        }
        turn();
    }
}

/// Callgrind writes its counter down, and begins at zero, whenever this is called.
#[inline(never)]
fn turn() {
    std::hint::black_box(());
}

fn count() -> Vec<Line> {
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("counts");
    run(&output);
    let cases = cases::all();
    let lines = cases.iter().enumerate().map(|(place, case)| {
        // Three turns for each; what was counted before the second and the third is the case's own.
        let counted = |turn: usize| total(&output, 3 * place + turn);
        let repetitions = (REPETITIONS / case.many).max(1);
        let instructions = counted(3) - counted(2);
        Line { name: case.name.clone(), instructions: instructions / (repetitions * case.many) as u64 }
    });
    lines.collect()
}

fn run(output: &Path) {
    let ourselves = env::current_exe().expect("our own path");
    let valgrind = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg("--dump-before=hot::count::turn")
        .arg(format!("--callgrind-out-file={}", output.display()))
        .arg(ourselves)
        .arg(TURNS)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .expect("valgrind is installed: see tests/run");
    let words = String::from_utf8_lossy(&valgrind.stderr);
    assert!(valgrind.status.success(), "valgrind: {words}");
}

/// What callgrind wrote down at this turn.
fn total(output: &Path, turn: usize) -> u64 {
    let text = fs::read_to_string(output.with_extension(turn.to_string())).expect("a count for every turn");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).expect("a total")
}

/// Items in all, of a case.
const REPETITIONS: usize = 200;
