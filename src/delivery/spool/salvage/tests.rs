//! On spools that SQLite itself has written, damaged in every way.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
};

use proptest::prelude::*;
use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::{judge::judge_medium, *};

type Rows = BTreeMap<u64, Record>;

const SCHEMA: &str = "
    PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA secure_delete = ON;
    PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0;
    CREATE TABLE messages (seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL, message_id TEXT NOT NULL,
        routing_key TEXT NOT NULL, properties TEXT NOT NULL, body BLOB NOT NULL) STRICT;
    CREATE TABLE parked (seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL, message_id TEXT NOT NULL,
        routing_key TEXT NOT NULL, properties TEXT NOT NULL, body BLOB NOT NULL) STRICT;
    CREATE TABLE books (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;";

/// A file with a hole that cannot be read.
struct Holed(Vec<u8>, Range<u64>);

impl Medium for Holed {
    fn len(&self) -> u64 {
        Medium::len(&self.0)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset < self.1.end && self.1.start < offset + buffer.len() as u64 {
            return Err(io::ErrorKind::Other.into());
        }
        self.0.read_at(buffer, offset)
    }
}

/// Small numbers that look random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// A spool in use.
struct Store {
    dir: TempDir,
    connection: Connection,
    dice: Dice,
    next: u64,
    /// All rows there ever were.
    ever: Rows,
    live: BTreeSet<u64>,
}

/// The bytes of a spool, and what is in it.
#[derive(Clone)]
struct Image {
    db: Vec<u8>,
    wal: Vec<u8>,
    ever: Rows,
    live: BTreeSet<u64>,
}

impl Store {
    fn new(seed: u64) -> Self {
        let dir = TempDir::new().expect("a directory");
        let connection = Connection::open(dir.path().join("spool.db")).expect("a database");
        connection.execute_batch(SCHEMA).expect("the schema");
        let mut dice = Dice(seed);
        let next = [1, 120, 1_000_000_000_000, 1 << 60][dice.below(4)];
        Self { dir, connection, dice, next, ever: Rows::new(), live: BTreeSet::new() }
    }

    /// Some transactions, now and then with a checkpoint.
    fn work(&mut self, transactions: usize) {
        for _ in 0..transactions {
            match self.dice.below(8) {
                0 => self.checkpoint(["PASSIVE", "RESTART", "TRUNCATE"][self.dice.0 as usize % 3]),
                1 => self.run("PRAGMA incremental_vacuum"),
                _ => self.transaction(),
            }
        }
    }

    fn run(&self, pragma: &str) {
        self.connection.query_row(pragma, [], |_| Ok(())).or_else(empty).expect("a pragma runs");
    }

    fn checkpoint(&self, mode: &str) {
        self.run(&format!("PRAGMA wal_checkpoint({mode})"));
    }

    fn transaction(&mut self) {
        self.run("BEGIN");
        for _ in 0..1 + self.dice.below(6) {
            if self.dice.below(3) == 0 {
                self.delete();
            } else {
                self.insert();
            }
        }
        self.run("COMMIT");
    }

    fn insert(&mut self) {
        let bytes = match self.dice.below(40) {
            0 => 300_000,
            1..=15 => self.dice.below(20_000),
            _ => self.dice.below(700),
        };
        self.insert_of(bytes);
    }

    fn insert_of(&mut self, bytes: usize) {
        let seq = self.next;
        self.next += 1;
        let record = Record {
            message_id: format!("id-{seq:016x}"),
            routing_key: "key.é".repeat(self.dice.below(9)),
            properties: "{}".repeat(self.dice.below(20)),
            body: tag(seq).iter().copied().cycle().take(bytes).collect(),
        };
        let table = if self.dice.below(9) == 0 { "parked" } else { "messages" };
        let row = params![
            seq as i64,
            record.crc(seq),
            record.message_id,
            record.routing_key,
            record.properties,
            &record.body[..]
        ];
        let insert = format!("INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?)");
        self.connection.execute(&insert, row).expect("a row goes in");
        self.ever.insert(seq, record);
        self.live.insert(seq);
    }

    fn delete(&mut self) {
        let some = self.dice.below(self.live.len().max(1));
        // A run of neighbours, so that leaves become empty and are merged.
        let victims: Vec<u64> = self.live.iter().copied().skip(some).take(1 + some % 7).collect();
        for seq in victims {
            for table in ["messages", "parked"] {
                let delete = format!("DELETE FROM {table} WHERE seq = ?");
                self.connection.execute(&delete, [seq as i64]).expect("a row goes out");
            }
            self.live.remove(&seq);
        }
    }

    /// What a kill would leave.
    fn image(&self) -> Image {
        let path = self.dir.path();
        Image {
            db: fs::read(path.join("spool.db")).expect("the file"),
            wal: fs::read(path.join("spool.db-wal")).expect("the log"),
            ever: self.ever.clone(),
            live: self.live.clone(),
        }
    }
}

fn empty(error: rusqlite::Error) -> rusqlite::Result<()> {
    if error == rusqlite::Error::QueryReturnedNoRows { Ok(()) } else { Err(error) }
}

/// Eight bytes that only the body of this row has.
fn tag(seq: u64) -> [u8; 8] {
    let mut tag = *b"\"......\"";
    for (digit, byte) in tag[1..7].iter_mut().enumerate() {
        *byte = b'a' + ((seq >> (4 * digit)) & 15) as u8;
    }
    tag
}

impl Image {
    fn of(seed: u64) -> Self {
        let mut store = Store::new(seed);
        store.work(30);
        if store.dice.below(3) == 0 {
            store.checkpoint("TRUNCATE");
        }
        store.image()
    }

    /// What is found, each of it as it was written.
    fn salvage(&self) -> BTreeSet<u64> {
        self.check(Salvage::of(Box::new(self.db.clone()), Box::new(self.wal.clone())))
    }

    fn check(&self, salvage: Salvage) -> BTreeSet<u64> {
        let rows = salvage.flatten();
        rows.inspect(|(seq, record)| assert_eq!(self.ever.get(seq), Some(record)))
            .map(|(seq, _)| seq)
            .collect()
    }

    fn lost(&self) -> Vec<u64> {
        let found = self.salvage();
        self.live.iter().copied().filter(|seq| !found.contains(seq)).collect()
    }

    fn judge(&self) -> Judgement {
        judge_medium(&self.wal).expect("nothing fails here")
    }

    /// Whether a row may have bytes in a range of the file or the log, or a page before or behind it.
    fn touches(&self, seq: u64, part: Part, range: &Range<usize>) -> bool {
        let file = part.of(self);
        let wide = range.start.saturating_sub(4200)..(range.end + 4200).min(file.len());
        let id = self.ever[&seq].message_id.as_bytes();
        let window = &file[wide];
        window.windows(id.len()).any(|bytes| bytes == id) || window.windows(8).any(|bytes| bytes == tag(seq))
    }
}

/// Which file is damaged.
#[derive(Clone, Copy, Debug)]
enum Part {
    Db,
    Wal,
}

impl Part {
    fn of(self, image: &Image) -> &Vec<u8> {
        match self {
            Self::Db => &image.db,
            Self::Wal => &image.wal,
        }
    }

    fn of_mut(self, image: &mut Image) -> &mut Vec<u8> {
        match self {
            Self::Db => &mut image.db,
            Self::Wal => &mut image.wal,
        }
    }

    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![Just(Self::Db), Just(Self::Wal)]
    }
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn of_an_undamaged_spool_exactly_the_rows_there_are_come_out(seed: u64) {
        let image = Image::of(seed);
        prop_assert_eq!(image.judge(), Judgement::Whole);
        prop_assert_eq!(image.salvage(), image.live);
    }
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn a_flipped_bit_costs_one_row_at_most(
        seed: u64,
        flips in proptest::collection::vec((Part::any(), any::<prop::sample::Index>(), 0_u8..8), 12),
    ) {
        let mut image = Image::of(seed);
        for (part, at, bit) in flips {
            let length = part.of(&image).len();
            if length == 0 {
                continue;
            }
            let at = at.index(length);
            part.of_mut(&mut image)[at] ^= 1_u8 << bit;
            let lost = image.lost();
            prop_assert!(lost.len() <= 1, "bit {} of byte {} of {:?} costs {:?}", bit, at, part, lost);
            part.of_mut(&mut image)[at] ^= 1_u8 << bit;
        }
    }

    #[test]
    fn an_overwritten_range_costs_only_what_was_there(
        seed: u64, part in Part::any(), start: prop::sample::Index, bytes in 1_usize..20_000, with in 0_u8..3,
    ) {
        let whole = Image::of(seed);
        let length = part.of(&whole).len();
        prop_assume!(length > 0);
        let start = start.index(length);
        let range = start..(start + bytes).min(length);
        let mut image = whole.clone();
        let mut dice = Dice(seed);
        for byte in &mut part.of_mut(&mut image)[range.clone()] {
            *byte = [0, 0xff, dice.below(256) as u8][usize::from(with)];
        }
        for seq in image.lost() {
            prop_assert!(whole.touches(seq, part, &range), "{:?} of {:?} costs {}", range, part, seq);
        }
    }

    #[test]
    fn a_cut_costs_only_what_is_cut_off(seed: u64, part in Part::any(), at: prop::sample::Index) {
        let whole = Image::of(seed);
        let length = part.of(&whole).len();
        let at = at.index(length + 1);
        let mut image = whole.clone();
        part.of_mut(&mut image).truncate(at);
        for seq in image.lost() {
            prop_assert!(whole.touches(seq, part, &(at..length)), "{} of {:?} costs {}", at, part, seq);
        }
    }

    #[test]
    fn bytes_of_any_kind_are_no_trouble(db: Vec<u8>, wal: Vec<u8>, seed: u64) {
        let mut image = Image { db, wal, ever: Rows::new(), live: BTreeSet::new() };
        image.judge();
        prop_assert!(image.salvage().is_empty());
        let mut dice = Dice(seed);
        image.db = (0..100_000).map(|_| dice.below(256) as u8).collect();
        image.wal = image.db.clone();
        prop_assert_ne!(image.judge(), Judgement::Damaged);
        prop_assert!(image.salvage().is_empty());
    }

    /// Power cut while the last transaction was written: of its frames, any may be there, or half there.
    #[test]
    fn a_torn_transaction_costs_nothing_that_was_synced(
        seed: u64, frames in proptest::collection::vec((0_u8..4, 0_usize..4120), 30), cut: Option<prop::sample::Index>,
    ) {
        let mut store = Store::new(seed);
        store.work(20);
        store.insert_of(10);
        let before = store.image();
        store.transaction();
        let mut image = store.image();
        let differs = (0..image.wal.len()).find(|at| before.wal.get(*at) != Some(&image.wal[*at]));
        let Some(start) = differs else { return Ok(()) };
        // A reset log gets its header with the first frame: that one is synced.
        let start = if start < 32 { 32 } else { 32 + (start - 32) / 4120 * 4120 };
        for (frame, (fate, at)) in frames.into_iter().enumerate() {
            let from = start + frame * 4120;
            let range = match fate {
                0 => from..from + 4120,
                1 => from..from + at,
                2 => from + at..from + 4120,
                _ => continue,
            };
            for at in range.start..range.end.min(image.wal.len()) {
                image.wal[at] = before.wal.get(at).copied().unwrap_or(0);
            }
        }
        if let Some(cut) = cut {
            image.wal.truncate(start + cut.index(image.wal.len() - start));
        }
        prop_assert_ne!(image.judge(), Judgement::Damaged);
        let found = image.salvage();
        let synced = before.live.intersection(&image.live);
        prop_assert_eq!(synced.filter(|seq| !found.contains(seq)).count(), 0);
    }

    #[test]
    fn a_flipped_bit_in_a_synced_transaction_is_damage(
        seed: u64, flips in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 20),
    ) {
        let mut store = Store::new(seed);
        store.work(10);
        store.checkpoint("PASSIVE");
        for bytes in [10, 5_000, 100] {
            store.insert_of(bytes);
        }
        let synced = last_commit(&store.image().wal);
        store.insert_of(50);
        let mut image = store.image();
        for (at, bit) in flips {
            let at = at.index(synced);
            image.wal[at] ^= 1_u8 << bit;
            prop_assert_eq!(image.judge(), Judgement::Damaged, "bit {} of byte {}", bit, at);
            image.wal[at] ^= 1_u8 << bit;
        }
        let last = synced..last_commit(&image.wal);
        for at in last.step_by(97) {
            image.wal[at] ^= 4;
            prop_assert_ne!(image.judge(), Judgement::Whole, "byte {}", at);
            prop_assert_ne!(image.judge(), Judgement::Torn, "byte {}", at);
            image.wal[at] ^= 4;
        }
    }
}

/// Where the last transaction of this generation ends.
fn last_commit(wal: &Vec<u8>) -> usize {
    let log = Log::read(wal, None);
    let last = log.frames.iter().rposition(|frame| frame.standing == wal::Standing::Sound && frame.ends());
    log.offset(last.expect("a transaction")) as usize + 4096
}

/// A spool whose log has two generations and ends with two transactions of one row each.
fn small() -> Image {
    let mut store = Store::new(7);
    for _ in 0..8 {
        store.insert_of(300);
    }
    store.checkpoint("RESTART");
    store.insert_of(6_000);
    store.insert_of(10);
    store.image()
}

#[test]
fn every_bit_of_every_header_costs_one_row_at_most() {
    let mut image = small();
    let db = (0..100).map(|at| (Part::Db, at));
    let frames = (0..image.wal.len().min(32 + 5 * 4120)).filter(|at| *at < 32 || (at - 32) % 4120 < 24 + 12);
    let wal: Vec<_> = frames.map(|at| (Part::Wal, at)).collect();
    for (part, at) in db.chain(wal) {
        for bit in 0..8 {
            part.of_mut(&mut image)[at] ^= 1_u8 << bit;
            let lost = image.lost();
            assert!(lost.len() <= 1, "bit {bit} of byte {at} of {part:?} costs {lost:?}");
            part.of_mut(&mut image)[at] ^= 1_u8 << bit;
        }
    }
}

#[test]
fn a_flipped_bit_in_the_last_transaction_costs_one_row_at_most() {
    let mut store = Store::new(9);
    store.work(3);
    store.checkpoint("PASSIVE");
    store.run("BEGIN");
    for bytes in [900, 900, 9_000].into_iter().cycle().take(18) {
        store.insert_of(bytes);
    }
    store.run("COMMIT");
    let mut image = store.image();
    for at in (0..last_commit(&image.wal)).step_by(211) {
        image.wal[at] ^= 4;
        let lost = image.lost();
        assert!(lost.len() <= 1, "byte {at} costs {lost:?}");
        image.wal[at] ^= 4;
    }
}

#[test]
fn rows_that_were_moved_and_then_deleted_stay_away() {
    let mut store = Store::new(13);
    for bytes in (0..600).map(|index| 100 + index % 7 * 90) {
        store.insert_of(bytes);
    }
    while !store.live.is_empty() {
        store.run("BEGIN");
        for _ in 0..12 {
            store.delete();
        }
        store.run("COMMIT");
        store.checkpoint("TRUNCATE");
        let image = store.image();
        assert_eq!(image.salvage(), image.live);
    }
}

#[test]
fn every_bit_of_the_header_of_a_log_is_damage() {
    let mut image = small();
    assert_eq!(image.judge(), Judgement::Whole);
    for bit in 0..32 * 8 {
        image.wal[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(image.judge(), Judgement::Damaged, "bit {bit}");
        image.wal[bit / 8] ^= 1 << (bit % 8);
    }
    image.wal[..32].fill(0);
    assert_eq!(image.judge(), Judgement::Damaged);
    assert_eq!(image.lost(), [0_u64; 0]);
    image.wal.fill(0);
    assert_eq!(image.judge(), Judgement::Torn);
    image.wal.clear();
    assert_eq!(image.judge(), Judgement::Whole);
}

#[test]
fn the_commit_mark_of_a_log_can_be_wrong_by_a_bit() {
    let mut image = small();
    let log = Log::read(&image.wal, None);
    let commits: Vec<_> = (0..log.frames.len()).filter(|frame| log.frames[*frame].ends()).collect();
    let (first, last) = (log.offset(commits[0]) as usize - 20, log.offset(commits[1]) as usize - 20);
    assert_eq!(commits.len(), 2);
    for (at, expected) in [(first, Judgement::Damaged), (last, Judgement::Doubtful)] {
        for bit in 0..32 {
            image.wal[at + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(image.judge(), expected);
            image.wal[at + bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn a_page_that_cannot_be_read_costs_only_itself() {
    let mut store = Store::new(3);
    for _ in 0..60 {
        store.insert_of(500);
    }
    store.checkpoint("TRUNCATE");
    let image = store.image();
    let bytes = image.db.len() as u64;
    for hole in (0..bytes).step_by(4096) {
        let holed = Holed(image.db.clone(), hole..hole + 1);
        let mut salvage = Salvage::of(Box::new(holed), Box::new(Vec::new()));
        let found: usize = salvage.by_ref().map(|rows| rows.len()).sum();
        assert!(found >= 60 - 8, "{found}");
        assert_eq!(salvage.unreadable(), 1);
    }
    let image = small();
    let holed = Holed(image.wal.clone(), 0..33);
    assert!(judge_medium(&holed).is_err());
    assert_eq!(image.check(Salvage::of(Box::new(image.db.clone()), Box::new(holed))).len(), 10);
}

#[test]
fn a_search_goes_on_where_it_was() {
    let mut store = Store::new(11);
    for bytes in [9_000_000, 10, 5_000_000, 10, 300_000] {
        store.insert_of(bytes);
    }
    store.checkpoint("PASSIVE");
    store.insert_of(20);
    let db = store.dir.path().join("spool.db");
    let mut found = BTreeSet::new();
    let mut position = 0;
    loop {
        let mut salvage = Salvage::open(&db).expect("it opens");
        salvage.seek_to(position);
        let Some(rows) = salvage.next() else { break };
        assert!(rows.iter().filter(|(_, record)| record.bytes() > STEP_BYTES).count() <= 2);
        found.extend(rows.into_iter().map(|(seq, _)| seq));
        assert!(salvage.place() > position);
        position = salvage.place();
    }
    assert_eq!(found, store.live);
}

#[test]
fn no_files_are_an_empty_spool() {
    let dir = TempDir::new().expect("a directory");
    let db = dir.path().join("spool.db");
    assert_eq!(Salvage::open(&db).expect("nothing to open").count(), 0);
    assert_eq!(judge(&dir.path().join("spool.db-wal")).expect("nothing to read"), Judgement::Whole);
}

/// `cargo test --release --lib salvage::tests::how_fast -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "a measurement")]
fn how_fast_it_is() {
    const PAGES: usize = 64 << 10;
    let mut dice = Dice(1);
    let mut store = Store::new(5);
    for _ in 0..40_000 {
        let bytes = dice.below(4_000);
        store.insert_of(bytes);
    }
    let log = store.image().wal;
    store.checkpoint("TRUNCATE");
    let rows = store.image().db;
    let headless: Vec<u8> =
        rows.as_chunks::<4096>().0.iter().flat_map(|page| [&[9][..], &page[1..]].concat()).collect();
    let noise = (0..PAGES * 4096).map(|_| dice.below(256) as u8).collect();
    let zeros = vec![0; PAGES * 4096];
    for (what, db) in [("rows", rows), ("rows, by brute force", headless), ("noise", noise), ("zeros", zeros)]
    {
        let bytes = db.len();
        let start = std::time::Instant::now();
        let found = Salvage::of(Box::new(db), Box::new(Vec::new())).flatten().count();
        let rate = bytes as f64 / start.elapsed().as_secs_f64() / 1e6;
        println!("{what}: {found} rows in {bytes} bytes, {rate:.0} MB/s");
    }
    let start = std::time::Instant::now();
    assert_eq!(judge_medium(&log).expect("it is there"), Judgement::Whole);
    println!("log: {:.0} MB/s", log.len() as f64 / start.elapsed().as_secs_f64() / 1e6);
}
