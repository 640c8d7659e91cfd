//! Where a command finds a secret: what is said on a command line, everybody on the machine can read.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, bail};
use clap::{
    Arg, Command,
    builder::{TypedValueParser, ValueParserFactory},
    error::ErrorKind,
};

use super::Unusable;
use crate::{config::Environment, secret::Secret};

/// Where a secret is.
#[derive(Clone, Debug)]
pub(super) enum SecretSource {
    /// A file; one newline at its end is not part of the secret.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A systemd credential.
    Credential(String),
    /// Standard input, to its end; one newline there is not part of the secret.
    Input,
    /// Here.
    Text(Secret),
}

/// For `--help`.
pub(super) const SOURCES: &str = "file:PATH, env:NAME, credential:NAME, - for standard input, or text:SECRET";

/// How clap reads a source: in its own words of refusal it would repeat what was given.
#[derive(Clone, Debug)]
pub(super) struct SourceParser;

impl ValueParserFactory for SecretSource {
    type Parser = SourceParser;

    fn value_parser() -> SourceParser {
        SourceParser
    }
}

impl TypedValueParser for SourceParser {
    type Value = SecretSource;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<SecretSource, clap::Error> {
        let text = value.to_str().ok_or_else(|| format!("expected {SOURCES}"));
        text.and_then(str::parse).map_err(|words| {
            let name = argument.map(ToString::to_string).unwrap_or_default();
            clap::Error::raw(ErrorKind::InvalidValue, format!("{name}: {words}\n")).with_cmd(command)
        })
    }
}

impl FromStr for SecretSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "-" => Ok(Self::Input),
            Some(("file", path)) => Ok(Self::File(path.into())),
            Some(("env", name)) => Ok(Self::Variable(name.to_owned())),
            Some(("credential", name)) => Ok(Self::Credential(name.to_owned())),
            Some(("text", secret)) => Ok(Self::Text(Secret::new(secret.to_owned()))),
            // What was given may be the secret itself.
            Some(_) | None => Err(format!("expected {SOURCES}")),
        }
    }
}

impl SecretSource {
    /// The secret, which is not empty.
    pub(super) fn read(&self, environment: &Environment) -> anyhow::Result<Secret> {
        Ok(self.find(environment).map_err(Unusable)?)
    }

    fn find(&self, environment: &Environment) -> anyhow::Result<Secret> {
        let secret = match self {
            Self::File(path) => file(path)?,
            Self::Variable(name) => {
                let value = environment.get(name).with_context(|| format!("{name} is not set"))?;
                Secret::new(value.to_owned())
            }
            Self::Credential(name) => {
                let directory = environment.get("CREDENTIALS_DIRECTORY");
                let directory = directory
                    .context("systemd has passed no credentials: CREDENTIALS_DIRECTORY is not set")?;
                file(&Path::new(directory).join(name))?
            }
            Self::Input => {
                bounded(io::stdin().lock()).context("cannot read the secret from standard input")?
            }
            Self::Text(secret) => secret.clone(),
        };
        if secret.expose().is_empty() {
            bail!("the secret is empty");
        }
        Ok(secret)
    }
}

fn file(path: &Path) -> anyhow::Result<Secret> {
    let read = File::open(path).and_then(bounded);
    read.with_context(|| format!("cannot read the secret in {}", path.display()))
}

fn bounded(from: impl Read) -> io::Result<Secret> {
    let mut text = String::new();
    from.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    let secret = Secret::new(text);
    if secret.expose().len() as u64 > BYTES_MAX {
        return Err(io::Error::other("it is too long for a secret"));
    }
    let bare = secret.expose();
    Ok(Secret::new(bare.strip_suffix('\n').unwrap_or(bare).to_owned()))
}

const BYTES_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_and_a_bare_secret_is_not_repeated() {
        for (text, expected) in [
            ("file:/a:b", "File(\"/a:b\")"),
            ("env:A", "Variable(\"A\")"),
            ("credential:a", "Credential(\"a\")"),
            ("text:a:b", "Text([secret])"),
            ("-", "Input"),
        ] {
            assert_eq!(format!("{:?}", text.parse::<SecretSource>().expect(text)), expected);
        }
        for text in ["hunter2", "", "http:hunter2"] {
            let error = text.parse::<SecretSource>().expect_err(text);
            assert!(error.starts_with("expected file:PATH") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_what_was_given() {
        let argument = Arg::new("broker").long("broker").value_parser(clap::value_parser!(SecretSource));
        let given = Command::new("tail").arg(argument).try_get_matches_from(["tail", "--broker", "hunter2"]);
        let error = given.expect_err("no source").to_string();
        assert!(
            error.contains("--broker <broker>: expected file:PATH") && !error.contains("hunter2"),
            "{error}"
        );
    }

    #[test]
    fn one_newline_is_not_part_of_a_secret() {
        assert_eq!(bounded("a \n\n".as_bytes()).expect("text").expose(), "a \n");
        assert!(bounded([b'a'; (64 << 10) + 1].as_slice()).is_err());
        assert!(bounded([0xff].as_slice()).is_err());
    }
}
