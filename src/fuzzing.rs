//! What the fuzz targets in `fuzz/` do with bytes of any kind: read them as the daemon would, and hold what comes out
//! against a second reading that shares nothing with ours. A target panics when the two disagree.
//!
//! Only there in test builds and with the feature `fuzzing`. `cargo test` reads every corpus once, so that an input
//! that was trouble once stays a test. `docs/fuzzing.md` says how to run them and what was found.

mod batch;
mod configuration;
mod forwarded;
mod framing;
mod handshake;
mod item;
mod json;
mod key_document;
mod media;
mod proxy;
mod record;
mod resource_data;
mod routing;
mod salvage;
mod trace;
mod validation_token;

pub use self::{
    batch::batch, configuration::configuration, forwarded::forwarded, framing::framing, handshake::handshake,
    item::item, key_document::key_document, media::media, proxy::proxy, record::record,
    resource_data::resource_data, routing::routing, salvage::salvage, trace::trace,
    validation_token::validation_token,
};

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs,
        panic::{AssertUnwindSafe, catch_unwind},
        path::{Path, PathBuf},
    };

    use super::*;

    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 15] = [
        ("batch", batch),
        ("configuration", configuration),
        ("forwarded", forwarded),
        ("framing", framing),
        ("handshake", handshake),
        ("item", item),
        ("key_document", key_document),
        ("media", media),
        ("proxy", proxy),
        ("record", record),
        ("resource_data", resource_data),
        ("routing", routing),
        ("salvage", salvage),
        ("trace", trace),
        ("validation_token", validation_token),
    ];

    fn names_in(directory: &str) -> BTreeSet<String> {
        let stem = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(directory)).map(stem).collect()
    }

    fn files(directory: &Path) -> impl Iterator<Item = PathBuf> {
        fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("a file").path())
    }

    #[test]
    fn every_target_has_a_program_and_a_corpus() {
        let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names_in("fuzz_targets"), names);
        assert_eq!(names_in("corpus"), names);
        assert!(names_in("dictionaries").is_subset(&names));
    }

    #[test]
    fn no_input_of_any_corpus_is_trouble() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        for (name, target) in TARGETS {
            let mut seen = 0;
            for file in files(&corpora.join(name)) {
                let input = fs::read(&file).expect("a file");
                let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
                assert!(outcome.is_ok(), "{}", file.display());
                seen += 1;
            }
            assert!(seen > 3, "{name} has {seen} inputs");
        }
    }
}
