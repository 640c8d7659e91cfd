//! From files and variables to a [`Config`], or to a list of everything that is wrong.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::{
    Config, Listen,
    effective::Effective,
    layers::{Layer, Layers},
    named::NamedFile,
    problem::{Problem, Problems, describe},
    raw::{Raw, RawSecret, SecretReference},
    resolve::{ADDRESS_EXPECTED, resolve},
};
use crate::secret::Secret;

/// The environment, captured once.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// All variables whose value is UTF-8.
    pub variables: BTreeMap<String, String>,
}

/// A configuration that can be used, and what is odd about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where it was read, for people.
    pub name: String,
    /// What works but deserves a look.
    pub warnings: Vec<Problem>,
    /// All of it as it may be shown.
    pub effective: Effective,
    /// The files it was made of, and those that are read later.
    pub files: Vec<NamedFile>,
}

/// Where a configuration comes from, kept so that it can be read again.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    environment: Environment,
}

/// A configuration that can take the place of the one that runs.
pub struct Reloaded {
    /// The configuration.
    pub config: Config,
    /// What works but deserves a look.
    pub warnings: Vec<Problem>,
    /// All of it as it may be shown.
    pub effective: Effective,
    layers: Layers,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No file was named and none of the default ones exists.
    #[error("no configuration: neither {} nor {} exists; name a file with --config", DEFAULT_FILES[0], DEFAULT_FILES[1])]
    NoFile,
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The settings are wrong.
    #[error(transparent)]
    Wrong(#[from] Problems),
}

/// Where a configuration is looked for when none is named.
const DEFAULT_FILES: [&str; 2] = ["/etc/graphhook/config.toml", "./config.toml"];

impl Environment {
    /// The environment of this process.
    #[expect(clippy::disallowed_methods, reason = "config is the one reader of the environment")]
    pub fn capture() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { variables: std::env::vars_os().filter_map(text).collect() }
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

fn find_file(named: Option<&Path>) -> Result<PathBuf, LoadError> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.exists()).ok_or(LoadError::NoFile)
}

/// Reads and checks the configuration: the file that was named, else the first default one that exists.
///
/// # Errors
///
/// [`LoadError`]; with [`LoadError::Wrong`] comes everything that is wrong.
pub fn load(named: Option<&Path>, environment: &Environment) -> Result<Loaded, LoadError> {
    read(&find_file(named)?, environment).map(|(loaded, _)| loaded)
}

impl Source {
    /// The file that was named, else the first default one that exists; and these variables, for ever.
    ///
    /// # Errors
    ///
    /// [`LoadError::NoFile`]
    pub fn find(named: Option<&Path>, environment: Environment) -> Result<Self, LoadError> {
        Ok(Self { path: find_file(named)?, environment })
    }

    /// The variables.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Reads and checks the configuration.
    ///
    /// # Errors
    ///
    /// As [`load`].
    pub fn load(&self) -> Result<Loaded, LoadError> {
        read(&self.path, &self.environment).map(|(loaded, _)| loaded)
    }

    /// The same for a daemon that runs with `running`: what cannot change under it is a problem too.
    ///
    /// # Errors
    ///
    /// As [`load`].
    pub fn reload(&self, running: &Config) -> Result<Reloaded, LoadError> {
        let (Loaded { mut config, name: _, warnings, effective, files: _ }, layers) =
            read(&self.path, &self.environment)?;
        let fixed = running.fixed_against(&config);
        if !fixed.is_empty() {
            let problem = |(key, message)| Problem::at(key, layers.origin(key), message);
            return Err(Problems(fixed.into_iter().map(problem).collect()).into());
        }
        config.spool.clone_from(&running.spool);
        Ok(Reloaded { config, warnings, effective, layers })
    }
}

impl Reloaded {
    /// Something about a key that turned out to be wrong when it was tried.
    pub fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        Problem::at(key, self.layers.origin(key), message)
    }
}

fn read_text(path: &Path) -> Result<String, LoadError> {
    std::fs::read_to_string(path).map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })
}

fn read(path: &Path, environment: &Environment) -> Result<(Loaded, Layers), LoadError> {
    let text = read_text(path)?;
    Ok(load_layers(&path.display().to_string(), &text, environment)?)
}

/// `admin.listen` of the configuration that [`load`] would read, or its default where there is none. What else is wrong
/// with it does not matter, nor whether its secrets can be read.
///
/// # Errors
///
/// [`LoadError`] when there is a file that cannot be read, or when the address is none.
pub fn admin_listen(named: Option<&Path>, environment: &Environment) -> Result<Listen, LoadError> {
    let (name, text) = match find_file(named) {
        Ok(path) => (path.display().to_string(), read_text(&path)?),
        Err(_) => (String::new(), String::new()),
    };
    let file = Layer::from_toml(&name, &text).map_err(Problems)?;
    let mut layers = Layers(vec![file, Layer::from_environment(&environment.variables)]);
    let (raw, _) = extract(&mut layers);
    let address = raw.admin.listen.parse().map(Listen::Address);
    address.map_err(|_| {
        Problems(vec![Problem::at("admin.listen", layers.origin("admin.listen"), ADDRESS_EXPECTED)]).into()
    })
}

/// The configuration of `dev`: all defaults, and one secret. The listener's address and certificate are the
/// command's affair.
pub fn dev(secret: &Secret, spool: &Path) -> Config {
    let text = format!("[[client_states]]\nname = \"dev\"\nsecret = \"{}\"\n", secret.expose());
    let mut config = load_text("dev", &text, &Environment::default()).expect("the defaults are right").config;
    spool.clone_into(&mut config.spool.directory);
    config
}

/// As [`load`], for a text that is already in memory.
pub(crate) fn load_text(name: &str, text: &str, environment: &Environment) -> Result<Loaded, Problems> {
    load_layers(name, text, environment).map(|(loaded, _)| loaded)
}

fn load_layers(name: &str, text: &str, environment: &Environment) -> Result<(Loaded, Layers), Problems> {
    let file = Layer::from_toml(name, text).map_err(Problems)?;
    let mut layers = Layers(vec![file, Layer::from_environment(&environment.variables)]);
    let (raw, problems) = extract(&mut layers);
    let problems = without_references(problems, &raw);
    let loaded = resolve(name, raw, &layers, environment, problems)?;
    Ok((loaded, layers))
}

/// Merges the layers. Serde stops at the first mistake; taking the key it stumbled over out of its layer and
/// beginning again finds the next one.
fn extract(layers: &mut Layers) -> (Raw, Vec<Problem>) {
    let mut problems = Vec::new();
    loop {
        let error = match layers.merged().extract_lossy::<Raw>() {
            Ok(raw) => return (raw, problems),
            Err(error) => error,
        };
        let mut removed = false;
        for error in error {
            let key = error.path.join(".");
            problems.push(Problem::at(&key, layers.origin(&key), describe(&error.kind)));
            removed |= layers.remove(&key);
        }
        if !removed {
            // Nothing left to blame; the defaults alone always extract.
            return (Raw::default(), problems);
        }
    }
}

/// A variable named by `{ env = "…" }` is a secret's, whatever its name, and no mistyped key.
fn without_references(mut problems: Vec<Problem>, raw: &Raw) -> Vec<Problem> {
    let secrets = raw.client_states.iter().filter_map(|entry| entry.secret.as_ref());
    let secrets = secrets.chain(raw.rich.keys.iter().filter_map(|key| key.private_key.as_ref()));
    let secrets = secrets.chain(&raw.broker.urls).chain(raw.traces.headers.values());
    for secret in secrets {
        if let RawSecret::Reference(SecretReference::Env(variable)) = secret {
            problems.retain(|problem| problem.origin != *variable);
        }
    }
    problems
}
