//! An authority and a certificate for `localhost` and 127.0.0.1, by the `openssl` program.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Files in PEM, good for two days: an authority, and a server's certificate that it signed.
#[derive(Clone, Debug)]
pub struct Certificates {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificates {
    pub(crate) fn make(directory: &Path) -> Self {
        let file = |name: &str| directory.join(name);
        let made = Self {
            authority: file("authority.crt"),
            certificate: file("server.crt"),
            key: file("server.key"),
        };
        let authority_key = file("authority.key");
        let subject = ["-subj", "/CN=authority of a test"];
        request(&made.authority, &authority_key, subject, |_| ());
        let subject = ["-subj", "/CN=localhost"];
        request(&made.certificate, &made.key, subject, |command| {
            command
                .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
                .args(["-addext", "basicConstraints=critical,CA:FALSE"])
                .arg("-CA")
                .arg(&made.authority)
                .arg("-CAkey")
                .arg(&authority_key);
        });
        made
    }

    /// The server's certificate.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// What a client has to trust.
    #[must_use]
    pub fn authority(&self) -> &Path {
        &self.authority
    }
}

/// Makes a certificate and its key.
fn request(certificate: &Path, key: &Path, subject: [&str; 2], more: impl FnOnce(&mut Command)) {
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(subject)
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(certificate);
    more(&mut command);
    let made = command.output().unwrap_or_else(|error| {
        panic!("cannot run openssl: {error}; install Debian's package openssl")
    });
    let errors = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "openssl: {errors}");
}
