//! Which receiver is meant, and how it is reached.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use url::Url;

use crate::simulate::{
    receiver::Receiver,
    trust::{Trust, TrustError},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct To {
    /// The receiver: https://HOST:PORT/PATH, or http:// on this machine.
    #[arg(value_name = "URL", value_parser = url)]
    url: Url,
    #[command(flatten)]
    way: Way,
}

/// How receivers are reached, and who is believed there.
#[derive(Args, Debug)]
pub(in crate::cli) struct Way {
    /// Believe what the authorities in this file vouch for, PEM [default: the system's authorities].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Believe every certificate.
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// Connect to this address, whatever address the host of the URL has.
    #[arg(long, value_name = "ADDR:PORT")]
    connect: Option<SocketAddr>,
}

impl To {
    pub(in crate::cli) fn receiver(&self) -> Result<Receiver, TrustError> {
        self.way.receiver(&self.url)
    }
}

impl Way {
    pub(in crate::cli) fn receiver(&self, url: &Url) -> Result<Receiver, TrustError> {
        Ok(Receiver::new(url.clone(), self.trust().config()?, self.connect))
    }

    pub(in crate::cli) fn trust(&self) -> Trust {
        match &self.ca {
            Some(path) => Trust::File(path.clone()),
            None if self.insecure => Trust::Anybody,
            None => Trust::System,
        }
    }
}

/// Graph takes `https://` alone; a receiver that is being written may do without on its own machine.
pub(in crate::cli) fn url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("Graph takes no user, no password and no fragment in a notificationUrl".to_owned());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        "http" => Err("http:// is for receivers on this machine; Graph takes https:// alone".to_owned()),
        _ => Err("expected an https:// URL".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_graph_could_notify_is_taken_and_what_is_on_this_machine() {
        for good in [
            "https://a/b?c=d",
            "https://[::1]:1",
            "http://127.0.0.1:3000/x",
            "http://localhost",
            "http://[::1]/",
        ] {
            assert!(url(good).is_ok(), "{good}");
        }
        for (bad, words) in [
            ("http://a/", "on this machine"),
            ("http://127.0.0.1.example.com/", "on this machine"),
            ("ftp://a/", "expected an https://"),
            ("https://u@a/", "no user"),
            ("https://u:p@a/", "no user"),
            ("https://a/#b", "no fragment"),
            ("a/b", "relative URL"),
            ("", "relative URL"),
        ] {
            let error = url(bad).expect_err(bad);
            assert!(error.contains(words), "{bad}: {error}");
        }
    }
}
