//! Files that a configuration names, kept for whoever looks at their permissions.

use std::path::PathBuf;

/// A file that the configuration names, or is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedFile {
    /// The key that names it; empty for the configuration's own file.
    pub key: String,
    /// Where it is.
    pub path: PathBuf,
    /// What a stranger would learn from it.
    pub content: Content,
}

/// What a stranger would learn from a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Content {
    /// A secret.
    Secret,
    /// Nothing that he may not know.
    Public,
}
