//! Settings of the edge that only make sense, or none, beside each other.

use std::net::SocketAddr;

use super::{
    super::{
        Acme, Listen, PublicUrl, Server, TlsSource,
        listeners::{Wanted, overlaps},
        raw::{RawTls, TlsMode},
    },
    Resolver,
};

impl Resolver<'_> {
    /// What would only be found when a socket is bound.
    pub(super) fn listeners(&mut self, server: &Server, admin: SocketAddr) {
        let listen = server.listen.iter().enumerate();
        let mut wanted: Vec<_> = listen
            .map(|(index, listen)| Wanted { key: format!("server.listen.{index}"), listen: listen.clone() })
            .collect();
        if let TlsSource::Acme(Acme { http_listen: Some(address), .. }) = server.tls.source {
            wanted
                .push(Wanted { key: "server.tls.http_listen".to_owned(), listen: Listen::Address(address) });
        }
        wanted.push(Wanted { key: "admin.listen".to_owned(), listen: Listen::Address(admin) });
        for (key, earlier) in overlaps(&wanted) {
            self.problem(key, format!("{earlier} takes this address: choose another"));
        }
    }

    pub(super) fn public_url(&mut self, text: Option<&str>, paths: &[String]) -> Option<PublicUrl> {
        let text = text.filter(|text| !text.is_empty())?;
        match PublicUrl::parse(text) {
            Ok(url) => {
                if !paths.iter().any(|path| path == url.path()) {
                    let message = "its path is none of server.paths: right only if a proxy changes it";
                    self.warning("server.public_url", message);
                }
                Some(url)
            }
            Err(error) => {
                self.problem("server.public_url", error.to_string());
                None
            }
        }
    }

    /// Keys of another mode do nothing, and whoever has set one expects something of it.
    pub(super) fn idle_tls_keys(&mut self, raw: &RawTls) {
        let default = RawTls::default();
        let is_some = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        let of_files = [
            ("certificate", raw.certificate != default.certificate),
            ("private_key", raw.private_key != default.private_key),
            ("certificates", !raw.certificates.is_empty()),
        ];
        // The cache is not among them: the unit for instances names it in every mode.
        let of_acme = [
            ("domains", !raw.domains.is_empty()),
            ("contact", is_some(&raw.contact)),
            ("directory", raw.directory != default.directory),
            ("ca_file", raw.ca_file.is_some()),
            ("http_listen", is_some(&raw.http_listen)),
        ];
        let of_both = [("unknown_host", raw.unknown_host != default.unknown_host)];
        let (idle, mode): (Vec<_>, _) = match raw.mode {
            TlsMode::Files => (of_acme.to_vec(), "files"),
            TlsMode::Acme => (of_files.to_vec(), "acme"),
            TlsMode::Off => ([&of_files[..], &of_acme, &of_both].concat(), "off"),
        };
        for (key, _) in idle.into_iter().filter(|(_, is_set)| *is_set) {
            let message = format!("has no effect with server.tls.mode = \"{mode}\"");
            self.warning(&format!("server.tls.{key}"), message);
        }
    }
}

/// As an authority takes it for the contact of an account (RFC 8555, section 7.3): one address and nothing more.
pub(super) fn is_mail_address(contact: &str) -> bool {
    let address = contact.strip_prefix("mailto:").and_then(|address| address.split_once('@'));
    let is_part = |part: &str| {
        !part.is_empty()
            && part.is_ascii()
            && !part.contains(|c: char| c.is_whitespace() || ",?@".contains(c))
    };
    address.is_some_and(|(user, host)| is_part(user) && is_part(host))
}
