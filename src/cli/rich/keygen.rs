//! `graphhook rich keygen`

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, anyhow};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{Args, ValueEnum};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyUsagePurpose, PKCS_RSA_SHA256, PublicKeyData,
    SignatureAlgorithm, SigningKey, date_time_ymd,
};
use serde::Serialize;
use serde_json::json;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::Outcome;
use crate::{
    config::toml_value,
    moment::{rfc3339, rfc3339_unix},
    verify::{certificate::Certificate, decrypt::PrivateKey, seal::makes_round_trip},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// Where both files go; it must be there.
    #[arg(long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// encryptionCertificateId, which subscriptions and notifications name, and the files are called after. Up to 128
    /// letters, digits, "-", "_" and ".", the first of them a letter or digit [default: the date of today, UTC].
    #[arg(long, value_parser = id)]
    id: Option<String>,
    /// Length of the key. Each item costs one private operation: with 3072 bits it takes 3 times as long as with
    /// 2048, and with 4096 bits 6 times.
    #[arg(long, value_enum, default_value_t = Bits::B2048)]
    bits: Bits,
    /// How long the certificate is valid.
    #[arg(long, default_value_t = 730, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Print one JSON object instead of what to do next.
    #[arg(long)]
    json: bool,
}

pub(super) const HELP: &str = "\
Writes ID.key.pem (PKCS#8, mode 600) and ID.cert.pem (self-signed: Graph does
not look at the issuer). Nothing is ever overwritten, and either both files are
there or none. The key itself is never printed.

Examples:
  graphhook rich keygen --directory /etc/graphhook/rich
  graphhook rich keygen --id chats-2 --json | jq -r .encryption_certificate";

/// Graph takes keys of these lengths.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bits {
    #[value(name = "2048")]
    B2048,
    #[value(name = "3072")]
    B3072,
    #[value(name = "4096")]
    B4096,
}

impl Bits {
    fn size(self) -> KeySize {
        match self {
            Self::B2048 => KeySize::Rsa2048,
            Self::B3072 => KeySize::Rsa3072,
            Self::B4096 => KeySize::Rsa4096,
        }
    }
}

/// An id that can name a file wherever it is typed.
fn id(text: &str) -> Result<String, String> {
    let is_right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    match begins_well && text.len() <= ID_CHARACTERS_MAX && text.chars().all(is_right) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "expected up to {ID_CHARACTERS_MAX} letters, digits, \"-\", \"_\" and \".\", the first a letter or digit"
        )),
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let Arguments { directory, id, bits, days, json } = arguments;
    let now = SystemTime::now();
    let id = id.clone().unwrap_or_else(|| rfc3339(now)[..DATE_BYTES].to_owned());
    let directory =
        fs::canonicalize(directory).with_context(|| format!("cannot write into {}", directory.display()))?;
    let files = Files::in_directory(&directory, &id);
    files.look()?;
    let pair = Pair::generate(*bits, &id, now, *days)?;
    files.write(&pair.private_key()?, &pair.certificate_pem)?;
    let made = Made::new(&id, &files, &pair);
    let mut out = io::stdout().lock();
    if *json {
        writeln!(out, "{}", serde_json::to_string_pretty(&made)?)?;
    } else {
        made.print(&mut out)?;
    }
    Ok(Outcome::Good)
}

/// A key and its certificate.
struct Pair {
    key: Signer,
    bits: usize,
    certificate: Certificate,
    certificate_pem: String,
}

impl Pair {
    fn generate(bits: Bits, id: &str, now: SystemTime, days: u32) -> anyhow::Result<Self> {
        let key = KeyPair::generate(bits.size()).map_err(|_| anyhow!("the system gave no key: try again"))?;
        let key = Signer(key);
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, id);
        params.key_usages = vec![KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::DataEncipherment];
        let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let begin = date_time_ymd(1970, 1, 1) + since_1970.saturating_sub(CLOCKS_DIFFER);
        params.not_before = begin;
        params.not_after = begin + Duration::from_secs(u64::from(days) * DAY);
        let signed = params.self_signed(&key).context("cannot sign the certificate")?;
        let certificate = Certificate::from_der(signed.der())?;
        let pair = Self {
            bits: key.0.public_modulus_len() * 8,
            key,
            certificate_pem: pem("CERTIFICATE", signed.der()).to_string(),
            certificate,
        };
        // Whatever is registered at Graph can be opened: nothing is more expensive than to find out later.
        let read = PrivateKey::from_pem(&pair.private_key()?)?;
        let fits = read.public() == pair.certificate.public() && makes_round_trip(&read);
        if fits { Ok(pair) } else { Err(anyhow!("the key that was made does not work: try again")) }
    }

    fn private_key(&self) -> anyhow::Result<Zeroizing<String>> {
        let der: Pkcs8V1Der<'_> = self.key.0.as_der().map_err(|_| anyhow!("the key cannot be written"))?;
        Ok(pem("PRIVATE KEY", der.as_ref()))
    }
}

/// The key as what signs its own certificate; it is not copied for that.
struct Signer(KeyPair);

impl PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

impl SigningKey for Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        let signed = self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.map(|()| signature).map_err(|_| rcgen::Error::RingUnspecified)
    }
}

/// RFC 7468: 64 letters on a line.
fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(der));
    // Never moved: a copy that is left behind would not be wiped.
    let mut text = Zeroizing::new(String::with_capacity(encoded.len() * 2 + 128));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Where key and certificate go.
struct Files {
    directory: PathBuf,
    key: PathBuf,
    certificate: PathBuf,
}

impl Files {
    fn in_directory(directory: &Path, id: &str) -> Self {
        Self {
            directory: directory.to_owned(),
            key: directory.join(format!("{id}.key.pem")),
            certificate: directory.join(format!("{id}.cert.pem")),
        }
    }

    /// A mistake is told before a key is made for nothing.
    fn look(&self) -> anyhow::Result<()> {
        for path in [&self.key, &self.certificate] {
            if fs::symlink_metadata(path).is_ok() {
                anyhow::bail!("{} is there already: choose another --id", path.display());
            }
        }
        Ok(())
    }

    /// Both, on the disk, or none.
    fn write(&self, key: &str, certificate: &str) -> anyhow::Result<()> {
        let key_file = self.prepared(&self.key, key, 0o600)?;
        let certificate_file = self.prepared(&self.certificate, certificate, 0o644)?;
        kept(key_file, &self.key)?;
        let both = kept(certificate_file, &self.certificate).and_then(|()| {
            let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
            synced.with_context(|| format!("cannot write into {}", self.directory.display())).inspect_err(
                // As below.
                |_| drop(fs::remove_file(&self.certificate)),
            )
        });
        // There is no better to be done if this fails, too.
        both.inspect_err(|_| drop(fs::remove_file(&self.key)))
    }

    /// Complete and synced, and not under its name yet.
    fn prepared(&self, path: &Path, text: &str, mode: u32) -> anyhow::Result<NamedTempFile> {
        let written = || {
            let mut file = NamedTempFile::new_in(&self.directory)?;
            file.as_file().set_permissions(Permissions::from_mode(mode))?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            Ok::<_, io::Error>(file)
        };
        written().with_context(|| format!("cannot write {}", path.display()))
    }
}

fn kept(file: NamedTempFile, path: &Path) -> anyhow::Result<()> {
    let kept = file.persist_noclobber(path).map_err(|error| error.error);
    kept.map(drop).with_context(|| format!("cannot write {}", path.display()))
}

/// What was made, without its secret.
#[derive(Serialize)]
struct Made<'a> {
    id: &'a str,
    bits: usize,
    thumbprint: String,
    not_before: String,
    not_after: String,
    private_key: &'a Path,
    certificate: &'a Path,
    /// As POST /subscriptions has it.
    encryption_certificate: String,
}

impl<'a> Made<'a> {
    fn new(id: &'a str, files: &'a Files, pair: &Pair) -> Self {
        Self {
            id,
            bits: pair.bits,
            thumbprint: pair.certificate.thumbprint(),
            not_before: rfc3339_unix(pair.certificate.not_before),
            not_after: rfc3339_unix(pair.certificate.not_after),
            private_key: &files.key,
            certificate: &files.certificate,
            encryption_certificate: pair.certificate.encoded(),
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { id, bits, thumbprint, not_before, not_after, .. } = self;
        let (key, certificate) = (toml_value(&json!(self.private_key)), toml_value(&json!(self.certificate)));
        writeln!(
            out,
            "\
id           {id}
key          {}, RSA, {bits} bits
certificate  {}
thumbprint   {thumbprint}
valid        {not_before} to {not_after}

1. Let the daemon's group read the key:

chgrp graphhook {0} && chmod 640 {0}

2. Put this into the configuration, beside the keys that are there, and reload:

[[rich.keys]]
id = {}
private_key = {{ file = {key} }}
certificate = {certificate}

3. Once graphhook check is content, make subscriptions with these members:

\"encryptionCertificateId\": {},
\"encryptionCertificate\": \"{}\"",
            self.private_key.display(),
            self.certificate.display(),
            toml_value(&json!(id)),
            json!(id),
            self.encryption_certificate,
        )
    }
}

/// Graph's own bound.
const ID_CHARACTERS_MAX: usize = 128;
/// Of RFC 3339: year, month and day.
const DATE_BYTES: usize = 10;
/// Graph's clock may be behind ours when the certificate comes to it.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60 * 60);
const DAY: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_can_name_a_file() {
        for right in ["2026-11-22", "a", "7.b_C-", &"x".repeat(128)] {
            assert_eq!(id(right).as_deref(), Ok(right));
        }
        for wrong in ["", ".", "..", ".a", "-a", "_", "a/b", "a b", "a\n", "é", "a\0", &"x".repeat(129)] {
            assert!(id(wrong).is_err(), "{wrong:?}");
        }
    }

    /// What is left in the directory, sorted.
    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    #[test]
    fn both_files_are_written_or_none() {
        let place = tempfile::tempdir().expect("a directory");
        let files = Files::in_directory(place.path(), "a");
        files.look().expect("nothing is there");
        // It came between the look and the writing.
        fs::write(&files.certificate, "another's").expect("written");
        let error = files.write("key", "certificate").expect_err("it is taken");
        assert!(error.to_string().contains("a.cert.pem"), "{error}");
        assert_eq!(names(place.path()), ["a.cert.pem"]);
        assert_eq!(fs::read_to_string(&files.certificate).expect("read"), "another's");
        fs::remove_file(&files.certificate).expect("removed");
        files.write("key", "certificate").expect("written");
        assert_eq!(names(place.path()), ["a.cert.pem", "a.key.pem"]);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&files.key), mode(&files.certificate)), (0o600, 0o644));
        assert!(files.look().expect_err("taken").to_string().contains("a.key.pem is there already"));
        assert!(files.write("other", "other").is_err());
        assert_eq!(fs::read_to_string(&files.key).expect("read"), "key");
        assert_eq!(names(place.path()), ["a.cert.pem", "a.key.pem"]);
    }
}
