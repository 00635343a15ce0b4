//! Reading secret keys for the commands that sign.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use fusebox_loader::trust::{Signer, SigningError};

use crate::failure::Failure;

/// How a secret key is opened.
#[derive(Debug, Args)]
pub(super) struct PasswordArgs {
    /// File with the password of an encrypted key, on its first line
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordArgs {
    /// The password; `None` where no file is named.
    pub(super) fn password(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.password_file else {
            return Ok(None);
        };
        let text = read(path)?;
        match text.lines().next().filter(|line| !line.is_empty()) {
            Some(line) => Ok(Some(line.to_owned())),
            None => Err(Failure::Usage(format!(
                "{} holds no password",
                path.display()
            ))),
        }
    }

    /// The secret key in a file.
    ///
    /// # Errors
    /// [`Failure`] with exit code 2 where it cannot be used.
    pub(super) fn signer(&self, path: &Path) -> Result<Signer, Failure> {
        const OTHERS_READ: u32 = 0o077;
        let text = read(path)?;
        let mode = fs::metadata(path).map(|facts| facts.permissions().mode());
        if mode.is_ok_and(|mode| mode & OTHERS_READ != 0) {
            let path = path.display();
            tracing::warn!("others may read the secret key {path}: chmod 600 {path}");
        }
        Signer::read(&text, self.password()?).map_err(|error| wrong_key(path, error))
    }
}

fn wrong_key(path: &Path, error: SigningError) -> Failure {
    let place = format!("cannot sign with {}", path.display());
    Failure::Refused(anyhow::Error::from(error).context(place))
}

/// The text of a small file that an argument names.
///
/// # Errors
/// [`Failure`] with exit code 2 where it cannot be read.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let read = fs::read_to_string(path);
    read.map_err(|error| {
        let place = format!("cannot read {}", path.display());
        Failure::Refused(anyhow::Error::from(error).context(place))
    })
}
