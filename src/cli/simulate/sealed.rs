//! Whom resource data is sealed for, and who vouches for it.

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::file;
use crate::{
    blocking::off_thread,
    simulate::{
        issuer::{Issuer, IssuerError, Serving},
        rich::Recipient,
        vouching::Version,
    },
    verify::certificate::Certificate,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Sealed {
    /// The certificate that resource data is encrypted for, PEM [default: one whose key nobody has].
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// encryptionCertificateId [default: the name of the certificate's file, up to .cert.pem or .pem].
    #[arg(long, value_name = "ID")]
    certificate_id: Option<String>,
    /// The app that subscribes: the audience of tokens.
    #[arg(long, value_name = "ID", default_value = "925bff9f-f6e2-4a69-b858-f71ea2b9b6d0")]
    pub(super) app: String,
    /// Sign tokens with the keys that this directory keeps, made when they are not there: see `graphhook simulate
    /// issuer` [default: throwaway keys].
    #[arg(long, value_name = "DIR")]
    issuer: Option<PathBuf>,
}

/// How tokens are made, and who can check them.
#[derive(Args, Debug)]
pub(in crate::cli) struct Signing {
    /// Version of tokens.
    #[arg(long, value_enum, default_value_t = TokenVersion::V2)]
    token_version: TokenVersion,
    /// Serve the keys here while it runs [default: with --issuer nowhere, else any free port of 127.0.0.1].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Write the authority to believe for fetching the keys here, PEM.
    #[arg(long, value_name = "FILE", conflicts_with = "issuer")]
    certificate_out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TokenVersion {
    #[value(name = "1")]
    V1,
    #[value(name = "2")]
    V2,
}

impl Sealed {
    /// Says so if nobody can open what is sealed.
    pub(super) fn warn(&self) -> io::Result<()> {
        if self.certificate.is_some() {
            return Ok(());
        }
        writeln!(
            io::stderr().lock(),
            "graphhook: no --certificate: resource data is encrypted for a key that nobody has"
        )
    }

    /// Who can open what is sealed.
    pub(super) async fn recipient(&self) -> anyhow::Result<Recipient> {
        let id = self.certificate_id.clone().or_else(|| self.certificate.as_deref().and_then(id_of));
        let id = id.unwrap_or_else(|| "simulated".to_owned());
        let Some(path) = &self.certificate else {
            return Ok(off_thread(move || Recipient::nobody(&id)).await?);
        };
        let unfit = || format!("cannot use {}", path.display());
        let certificate = Certificate::from_pem(&file::read_text(path)?).with_context(unfit)?;
        Recipient::new(&id, &certificate).with_context(unfit)
    }

    /// Who signs.
    pub(super) async fn issuer(&self) -> Result<Issuer, IssuerError> {
        match &self.issuer {
            Some(directory) => Issuer::kept(directory).await,
            None => Issuer::throwaway().await,
        }
    }
}

impl Signing {
    pub(super) fn version(&self) -> Version {
        match self.token_version {
            TokenVersion::V1 => Version::V1,
            TokenVersion::V2 => Version::V2,
        }
    }

    /// Serves the keys of this issuer, as long as it is kept.
    pub(super) async fn serve(&self, sealed: &Sealed, issuer: &Issuer) -> anyhow::Result<Option<Serving>> {
        let listen = match self.listen {
            None if sealed.issuer.is_some() => return Ok(None),
            None => SocketAddr::from(([127, 0, 0, 1], 0)),
            Some(listen) => listen,
        };
        let serving = issuer.serve(listen).await?;
        if let Some(path) = &self.certificate_out {
            fs::write(path, serving.authority())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let documents = serving.key_documents().join(" ");
        writeln!(io::stderr().lock(), "graphhook: tokens are signed with keys from {documents}")?;
        Ok(Some(serving))
    }
}

/// As `graphhook rich keygen` names its files.
fn id_of(certificate: &Path) -> Option<String> {
    let name = certificate.file_name()?.to_str()?;
    let name = name.strip_suffix(".pem").unwrap_or(name);
    Some(name.strip_suffix(".cert").unwrap_or(name).to_owned())
}
