//! What the documents say of each other.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Every link from one document to another, or to a heading, leads somewhere.
#[test]
fn links_lead_somewhere() {
    let (mut dead, mut seen) = (Vec::new(), 0);
    for page in pages() {
        let text = read(&page);
        for link in links(&text) {
            seen += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().expect("a page has a directory").join(file),
            };
            let leads = target.exists() && (heading.is_empty() || headings(&read(&target)).contains(heading));
            if !leads {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
    assert!(seen > 50, "only {seen} links");
}

/// Nobody finds a page that the manual's index does not name.
#[test]
fn the_index_names_every_page() {
    for directory in ["docs", "docs/runbooks"] {
        let index = read(&root().join(directory).join("README.md"));
        let named: BTreeSet<_> = links(&index).map(|link| link.split('#').next().unwrap_or(link)).collect();
        for page in markdown_in(&root().join(directory)) {
            let name = page.file_name().and_then(|name| name.to_str()).expect("names are UTF-8");
            assert!(
                name == "README.md" || named.contains(name),
                "{directory}/README.md does not name {name}"
            );
        }
    }
}

fn pages() -> Vec<PathBuf> {
    [root(), root().join("docs"), root().join("docs/runbooks")]
        .iter()
        .flat_map(|dir| markdown_in(dir))
        .collect()
}

fn markdown_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = entries.map(|entry| entry.expect("a directory can be read").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Targets of links, but for those that lead out of here. Blocks of code have none.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    let targets = prose.flat_map(|prose| prose.split("](").skip(1));
    let targets = targets.filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.filter(|target| !target.contains("://"))
}

/// Headings in the form in which links name them.
fn headings(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| line.starts_with('#'));
    lines.map(|line| slug(line.trim_start_matches('#').trim())).collect()
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}
