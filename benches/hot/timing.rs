//! Nanoseconds of the processor.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::{cases::Case, every::median};

/// Times all cases in turn, a few rounds, and prints the medians.
pub(crate) fn measure(mut cases: Vec<Case>) {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (case, times) in cases.iter_mut().zip(&mut times) {
            times.push(time(case));
        }
    }
    println!("{:<56} {:>12}", "", "CPU ns");
    for (case, times) in cases.iter().zip(times) {
        println!("{:<56} {:>12.0}", case.name, median(times));
    }
}

fn time(case: &mut Case) -> f64 {
    let (begun, spent, mut done) = (Instant::now(), spent(), 0_u32);
    while begun.elapsed() < ROUND {
        (case.work)();
        done += 1;
    }
    (self::spent() - spent) / f64::from(done) / case.many as f64
}

/// Nanoseconds that our one thread has had of a processor: what else runs on the machine does not count.
fn spent() -> f64 {
    let times = fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel counts");
    times.split(' ').next().and_then(|time| time.parse().ok()).expect("a number")
}

const ROUNDS: usize = 5;
/// Of one case.
const ROUND: Duration = Duration::from_millis(100);
