//! The disk does what it says: to real tools, and to a real SQLite.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{Disk, Errno, Loss, Mark, Op, Operation, Times, Trace};
use crate::support::daemon::Daemon;
use crate::support::graph::{created, post};
use crate::support::process;

/// Runs a shell script in the disk's root.
async fn run(disk: &Disk, script: &str) -> Output {
    let mut command = Command::new("sh");
    command.args(["-e", "-c", script]).current_dir(disk.root()).env("LC_ALL", "C");
    process::output(disk.watch(&mut command), BOUND).await
}

async fn run_well(disk: &Disk, script: &str) {
    let output = run(disk, script).await;
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// All that can be there after a power cut at the end, each with how often it came in so many seeds.
fn outcomes(disk: &Disk) -> BTreeMap<Vec<(PathBuf, String)>, usize> {
    let trace = disk.trace();
    let mut outcomes = BTreeMap::new();
    for seed in 0..200 {
        let cut = trace.power_cut(trace.count(), Loss::Seeded(seed));
        *outcomes.entry(contents(cut.path())).or_default() += 1;
    }
    outcomes
}

/// The files of a directory, without those in directories below.
fn contents(directory: &Path) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(directory).expect("the directory is there");
    let paths = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    let mut files: Vec<_> = paths
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("the file can be read");
            (PathBuf::from(path.file_name().expect("a name")), text)
        })
        .collect();
    files.sort();
    files
}

fn files(files: &[(&str, &str)]) -> Vec<(PathBuf, String)> {
    files.iter().map(|(name, text)| (PathBuf::from(name), (*text).to_owned())).collect()
}

#[tokio::test]
async fn everything_that_is_done_is_in_the_trace() {
    let disk = Disk::holding(|root| std::fs::write(root.join("old"), "before").expect("written"));
    let script = "mkdir d; printf one >d/a; printf two >>d/a; mv d/a d/b; dd if=d/b of=c conv=fsync; \
                  printf x | dd of=c bs=1 seek=700 conv=notrunc; truncate -s 3 old; \
                  cp c d/e; cat c >>d/e; rm c; sync d; printf y >old; mkdir d/f; rmdir d/f";
    run_well(&disk, script).await;
    disk.trace().check_whole(&disk.root());
    assert_eq!(std::fs::read_to_string(disk.root().join("d/b")).expect("it is there"), "onetwo");
}

#[tokio::test]
#[should_panic(expected = "does not tell")]
async fn what_passes_by_the_trace_is_found_out() {
    let disk = Disk::empty();
    std::fs::write(disk.root().join("unseen"), "by us, who are not watched").expect("written");
    disk.trace().check_whole(&disk.root());
}

#[tokio::test]
async fn what_was_synced_is_there_and_nothing_else_is_sure() {
    let disk = Disk::empty();
    run_well(&disk, "printf old >a; sync a .; printf new >b; printf + >>a").await;
    let all = outcomes(&disk);
    let a = |a| files(&[("a", a)]);
    let b = |a, b| files(&[("a", a), ("b", b)]);
    let expected = [a("old"), a("old+"), b("old", ""), b("old", "new"), b("old+", ""), b("old+", "new")];
    assert!(expected.iter().all(|outcome| all.contains_key(outcome)), "{all:?}");
    assert_eq!(all.len(), expected.len(), "{all:?}");
    let trace = disk.trace();
    assert_eq!(contents(trace.power_cut(trace.count(), Loss::Everything).path()), a("old"));
    assert_eq!(contents(trace.power_cut(trace.count(), Loss::Nothing).path()), b("old+", "new"));
    assert_eq!(contents(trace.power_cut(0, Loss::Nothing).path()), files(&[]));
}

#[tokio::test]
async fn a_synced_file_may_have_no_name() {
    let disk = Disk::empty();
    run_well(&disk, "printf data >a; sync a").await;
    let all = outcomes(&disk);
    assert_eq!(all.into_keys().collect::<Vec<_>>(), [files(&[]), files(&[("a", "data")])]);
}

#[tokio::test]
async fn names_stay_as_they_were_until_the_directory_is_synced() {
    let disk = Disk::empty();
    run_well(&disk, "printf 1 >a; printf 2 >b; sync a b .; mv a b; printf 3 >c; sync c; rm c").await;
    let all = outcomes(&disk);
    let before = |rest: &[(&str, &str)]| files(&[&[("a", "1"), ("b", "2")], rest].concat());
    let after = |rest: &[(&str, &str)]| files(&[&[("b", "1")], rest].concat());
    let c = [("c", "3")];
    let expected = [after(&[]), after(&c), before(&[]), before(&c)];
    assert!(expected.iter().all(|outcome| all.contains_key(outcome)), "{all:?}");
    assert_eq!(all.len(), expected.len(), "{all:?}");
    run_well(&disk, "sync .").await;
    assert_eq!(outcomes(&disk).into_keys().collect::<Vec<_>>(), [after(&[])]);
}

#[tokio::test]
async fn writes_tear_at_sectors() {
    let disk = Disk::empty();
    let write = "head -c 2000 /dev/zero | tr '\\0' x | dd of=a bs=2000 iflag=fullblock";
    run_well(&disk, &format!("printf '' >a; sync a .; {write}")).await;
    let lengths: Vec<usize> = outcomes(&disk).into_keys().map(|files| files[0].1.len()).collect();
    for expected in [0, 512, 1024, 1536, 2000] {
        assert!(lengths.contains(&expected), "{expected} is not among {lengths:?}");
    }
    assert!(lengths.iter().all(|length| [0, 512, 1024, 1536, 2000].contains(length)), "{lengths:?}");
    let holes = outcomes(&disk).into_keys().any(|files| files[0].1.contains("\0x"));
    assert!(holes, "no later sector came without an earlier one");
}

#[tokio::test]
async fn a_failed_sync_is_not_made_good_by_the_next() {
    let disk = Disk::empty();
    run_well(&disk, "printf '' >a; sync a .; printf lost >>a").await;
    disk.fail_on("a", Op::Sync, Errno::Io, Times::Next(1));
    let output = run(&disk, "sync a").await;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Input/output error"), "{output:?}");
    run_well(&disk, "sync a; printf kept >b; sync b .").await;
    assert_eq!(disk.seen().failed(Op::Sync), 1);
    let trace = disk.trace();
    let cut = trace.power_cut(trace.count(), Loss::Everything);
    assert_eq!(contents(cut.path()), files(&[("a", ""), ("b", "kept")]));
}

#[tokio::test]
async fn each_kind_of_operation_fails_on_command() {
    let disk = Disk::empty();
    run_well(&disk, "printf 1 >file; printf 2 >other; printf 3 >third").await;
    let faults = [
        (Op::Open, Errno::ReadOnly, "printf x >>file", "Read-only file system"),
        (Op::Write, Errno::Full, "dd if=other of=file conv=notrunc", "No space left on device"),
        (Op::Truncate, Errno::Io, "truncate -s 9 file", "Input/output error"),
        (Op::Rename, Errno::Io, "mv other file", "Input/output error"),
        (Op::Unlink, Errno::ReadOnly, "rm file", "Read-only file system"),
        (Op::Sync, Errno::Full, "sync file", "No space left on device"),
    ];
    for (op, errno, script, complaint) in faults {
        disk.fail_on("file", op, errno, Times::All);
        let output = run(&disk, script).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.to_lowercase().contains(&complaint.to_lowercase()),
            "{op:?}: {said}"
        );
        assert!(disk.seen().failed(op) >= 1, "{op:?}");
        disk.heal();
    }
    run_well(&disk, "printf x >>file; truncate -s 1 file; mv third file; sync file; rm file other").await;
    assert!(disk.trace().operations().any(|done| matches!(done, Operation::Failed { op: Op::Rename, .. })));
    disk.trace().check_whole(&disk.root());
}

#[tokio::test]
async fn syncs_wait_on_command() {
    let disk = Disk::empty();
    disk.delay_syncs(Duration::from_millis(300));
    let begun = Instant::now();
    run_well(&disk, "printf 1 >a; sync a").await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(disk.seen().delayed, 1);
}

#[tokio::test]
async fn others_are_left_alone() {
    let disk = Disk::empty();
    for op in super::OPS {
        disk.fail(op, Errno::Io, Times::All);
    }
    run_well(&disk, "cd ..; mkdir beside; printf 1 >beside/a; sync beside/a; mv beside/a b; rm b").await;
    assert_eq!(disk.seen(), super::Seen::default());
    assert_eq!(disk.trace().count(), 0);
}

#[tokio::test]
async fn a_daemon_can_be_watched() {
    let disk = Disk::empty();
    let daemon = disk.under(Daemon::configure()).without_broker().start().await;
    assert_eq!(daemon.spool(), disk.spool());
    let loaded = std::fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).expect("the daemon runs");
    assert!(loaded.contains("disk.so"), "{loaded}");
    assert_eq!(post(&daemon.client(), [created("watched")]).await.status, 202);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0), "{}", daemon.log());
    disk.trace().check_whole(&disk.root());
}

#[test]
fn a_database_that_syncs_keeps_every_commit() {
    let (disk, commits) = database("full", |_| {});
    disk.trace().check_whole(&disk.root());
    let judged = lost_commits(&disk, &commits);
    assert!(judged.checked > 1000, "only {} commits were to be there", judged.checked);
    assert_eq!(judged.lost, 0);
    assert!(judged.early > 0, "no cut took anything away");
}

/// Whoever does not sync is found out: otherwise the test above would prove nothing.
#[test]
fn a_database_that_does_not_sync_loses_commits() {
    let (disk, commits) = database("off", |_| {});
    assert!(lost_commits(&disk, &commits).lost > 0);
}

#[test]
fn a_database_on_a_disk_that_lies_loses_commits() {
    let (disk, commits) = database("full", Disk::fake_syncs);
    assert!(disk.seen().faked >= 60, "{:?}", disk.seen());
    assert!(lost_commits(&disk, &commits).lost > 0);
}

#[tokio::test]
async fn a_record_cut_short_by_a_kill_hides_no_other() {
    let disk = Disk::empty();
    run_well(&disk, "printf 1 >a; sync a .; mv a b").await;
    let whole = std::fs::read(disk.home.path().join("trace")).expect("the trace");
    let count = disk.trace().count();
    for lost in [1, 8, 9, 20, 40] {
        let bytes = [&whole[..whole.len() - lost], &whole].concat();
        assert_eq!(Trace::read(disk.base.clone(), bytes).count(), 2 * count - 1, "{lost}");
    }
}

#[derive(Default)]
struct Judged {
    /// Commits that had been told of before a power cut.
    checked: usize,
    /// Of these, gone.
    lost: usize,
    /// Databases with fewer commits than the last ever.
    early: usize,
}

fn lost_commits(disk: &Disk, commits: &[Mark]) -> Judged {
    let trace = disk.trace();
    let mut judged = Judged::default();
    for seed in 0..150 {
        let count = usize::try_from(seed * 7919).expect("it fits") % (trace.count() + 1);
        let told = commits.iter().filter(|commit| trace.before(**commit) <= count).count();
        let loss = if seed % 5 == 0 { Loss::Everything } else { Loss::Seeded(seed) };
        let cut = trace.power_cut(count, loss);
        let kept = kept(cut.path());
        judged.checked += told;
        judged.lost += told.saturating_sub(kept);
        judged.early += usize::from(kept < commits.len());
    }
    judged
}

/// How many commits a database holds; none if it cannot be read.
fn kept(directory: &Path) -> usize {
    let read = || {
        let database = Connection::open(directory.join("spool.db"))?;
        database.query_row("SELECT count(*) FROM item", [], |row| row.get::<_, i64>(0))
    };
    read().map_or(0, |count| usize::try_from(count).expect("a count fits"))
}

/// A watched process makes commits; with the moments when it had told of each.
fn database(synchronous: &str, spoil: impl FnOnce(&Disk)) -> (Disk, Vec<Mark>) {
    let disk = Disk::empty();
    spoil(&disk);
    let mut command = Command::new(std::env::current_exe().expect("we are a program"));
    let child = "support::disk::tests::makes_commits";
    command.args([child, "--exact", "--ignored", "--nocapture"]);
    command.env(SYNCHRONOUS, synchronous).current_dir(disk.root()).stdout(Stdio::piped());
    let mut child = disk.watch(&mut command).spawn().expect("we can be started");
    let said = BufReader::new(child.stdout.take().expect("standard output is piped"));
    let mut commits = Vec::new();
    for line in said.lines() {
        if line.expect("text").starts_with("committed") {
            commits.push(disk.mark());
        }
    }
    assert!(child.wait().expect("our child").success());
    assert_eq!(commits.len(), COMMITS);
    (disk, commits)
}

#[test]
#[ignore = "the watched process of other tests"]
fn makes_commits() {
    #[expect(clippy::disallowed_methods, reason = "a test process of ours, told by its environment")]
    let Ok(synchronous) = std::env::var(SYNCHRONOUS) else { return };
    let mut database = Connection::open("spool.db").expect("a database");
    database.pragma_update(None, "journal_mode", "WAL").expect("WAL");
    database.pragma_update(None, "synchronous", synchronous).expect("a level");
    database.pragma_update(None, "wal_autocheckpoint", 20).expect("a number");
    database.execute_batch("CREATE TABLE item (body BLOB)").expect("a table");
    for number in 0..COMMITS {
        let transaction = database.transaction().expect("a transaction");
        transaction.execute("INSERT INTO item VALUES (?1)", [vec![b'x'; 50 * number]]).expect("a row");
        transaction.commit().expect("a commit");
        writeln!(io::stdout(), "committed").expect("somebody reads");
    }
}

const BOUND: Duration = Duration::from_secs(30);
const COMMITS: usize = 60;
const SYNCHRONOUS: &str = "GRAPHHOOK_TEST_SYNCHRONOUS";
