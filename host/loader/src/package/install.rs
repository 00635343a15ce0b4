//! Installing a package that lies somewhere else, and removing one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::commit::{Image, commit, lock};
use super::{PackageError, io};
use crate::discover::{Discovered, SignatureBytes, discover, is_committed};
use crate::disk::{Disk, RealDisk, hidden_name};
use crate::error::LoadError;
use crate::load::check_library;
use crate::trust::{Decision, TrustPolicy, VersionError, is_lower};

/// How to install.
#[derive(Debug, Clone, Default)]
pub struct InstallOptions {
    /// Whether a lower version, another package of the same version, and one that nobody vouches
    /// for go in. What is broken or revoked never does.
    pub force: bool,
    /// The time, for keys that expire.
    pub now_unix_s: i64,
    /// The highest version that was live, where there is a record of it.
    pub highest_live: Option<String>,
}

/// A package that was installed.
#[derive(Debug)]
pub struct Installed {
    /// Where it lies.
    pub path: PathBuf,
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Where it is going to run; where it was forced in and may not run, why not.
    pub decision: Result<Decision, LoadError>,
    /// Whether the same package was there already, so that nothing was written.
    pub is_unchanged: bool,
}

/// Checks the package at `source` and copies it into the plugin directory `root`.
///
/// # Errors
/// [`PackageError`]; nothing is committed then.
pub fn install_package(
    source: &Path,
    root: &Path,
    trust: &TrustPolicy,
    options: &InstallOptions,
) -> Result<Installed, PackageError> {
    install_on(&RealDisk, Discovered::at(source), root, (trust, options))
}

pub(super) fn install_on(
    disk: &dyn Disk,
    package: Discovered,
    root: &Path,
    (trust, options): (&TrustPolicy, &InstallOptions),
) -> Result<Installed, PackageError> {
    let manifest = package.manifest()?;
    let decision = match trust.judge(&package, options.now_unix_s) {
        Err(LoadError::Trust(refused))
            if options.force && refused.refusals.iter().all(|one| one.may_be_forced()) =>
        {
            Err(LoadError::Trust(refused))
        }
        decision => Ok(decision?),
    };
    let limit = trust.max_package_bytes();
    check_files(&package, limit)?;
    check_library(&package, limit)?;
    let _lock = lock(root)?;
    let path = root.join(&manifest.id).join(&manifest.version);
    let is_unchanged = is_same(&package, &path, limit);
    if !is_unchanged {
        if !options.force {
            refuse_lower(&package, root, options)?;
            if is_committed(&path) {
                return Err(PackageError::Committed(path));
            }
        }
        let digests = manifest.digests();
        let signature = match package.signature() {
            SignatureBytes::Present(bytes) => Some(&**bytes),
            SignatureBytes::Absent | SignatureBytes::Unreadable(_) => None,
        };
        let image = Image {
            id: &manifest.id,
            version: &manifest.version,
            manifest: package.manifest_bytes(),
            signature,
            files: digests.keys().copied().collect(),
            content: &|file| Ok(package.read_file(file, limit)?.0),
        };
        commit(disk, root, &image)?;
    }
    Ok(Installed {
        path,
        id: manifest.id.clone(),
        version: manifest.version.clone(),
        decision,
        is_unchanged,
    })
}

/// Refuses a package with files that its manifest was not written for, naming all of them.
fn check_files(package: &Discovered, limit: u64) -> Result<(), PackageError> {
    let checks = package.check_files(limit)?;
    let problems: Vec<String> = checks
        .iter()
        .filter_map(|file| Some(format!("{}: {}", file.path, file.problem.as_ref()?)))
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(PackageError::Files {
        path: package.path.clone(),
        problems,
    })
}

/// Whether exactly this package lies at `path`.
fn is_same(package: &Discovered, path: &Path, limit: u64) -> bool {
    if !is_committed(path) {
        return false;
    }
    let there = Discovered::at(path);
    let is_whole =
        |checks: Vec<crate::discover::FileCheck>| checks.iter().all(|file| file.problem.is_none());
    there.fingerprint() == package.fingerprint() && there.check_files(limit).is_ok_and(is_whole)
}

fn refuse_lower(
    package: &Discovered,
    root: &Path,
    options: &InstallOptions,
) -> Result<(), PackageError> {
    let installed = discover(&[root.to_owned()])
        .into_iter()
        .filter(|one| one.id == package.id && one.state.is_ok())
        .map(|one| one.version);
    let higher = installed
        .chain(options.highest_live.clone())
        .find(|other| is_lower(&package.version, other));
    match higher {
        None => Ok(()),
        Some(highest) => Err(PackageError::Version(VersionError::Lower {
            id: package.id.clone(),
            version: package.version.clone(),
            highest,
        })),
    }
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The plugin.
    pub id: String,
    /// Its versions.
    pub versions: Vec<String>,
}

/// Removes one version of a plugin, or all of them. `in_use` says why a version must stay; `None`
/// lets it go. Versions that are broken or not committed can be removed too.
///
/// # Errors
/// [`PackageError::Missing`] naming what is there, [`PackageError::InUse`] before anything is
/// removed.
pub fn remove_package(
    root: &Path,
    id: &str,
    version: Option<&str>,
    in_use: &dyn Fn(&str) -> Option<String>,
) -> Result<Removed, PackageError> {
    let there = if crate::manifest::is_valid_id(id) {
        versions(&root.join(id))
    } else {
        BTreeSet::new()
    };
    let doomed: Vec<String> = there
        .iter()
        .filter(|one| version.is_none_or(|version| version == *one))
        .cloned()
        .collect();
    if doomed.is_empty() {
        return Err(missing(root, id, version, &there));
    }
    for version in &doomed {
        if let Some(reason) = in_use(version) {
            let wanted = format!("{id} {version}");
            return Err(PackageError::InUse { wanted, reason });
        }
    }
    let _lock = lock(root)?;
    for version in &doomed {
        let path = root.join(id).join(version);
        let aside = hidden_name(&path, "removed-");
        RealDisk
            .rename(&path, &aside)
            .map_err(|source| io("remove", &path, source))?;
        RealDisk
            .remove_tree(&aside)
            .map_err(|source| io("remove", &aside, source))?;
    }
    // Only an empty one goes.
    let _ = fs::remove_dir(root.join(id));
    Ok(Removed {
        id: id.to_owned(),
        versions: doomed,
    })
}

/// Names of the directories of a plugin that stand for a version.
fn versions(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !crate::manifest::is_passed_over(name))
        .collect()
}

fn missing(root: &Path, id: &str, version: Option<&str>, there: &BTreeSet<String>) -> PackageError {
    let found = if there.is_empty() {
        let mut ids: Vec<String> = discover(&[root.to_owned()])
            .into_iter()
            .map(|one| one.id)
            .collect();
        ids.dedup();
        if ids.is_empty() {
            "; nothing is".to_owned()
        } else {
            format!("; installed: {}", ids.join(", "))
        }
    } else {
        let versions: Vec<&str> = there.iter().map(String::as_str).collect();
        format!("; versions there: {}", versions.join(", "))
    };
    PackageError::Missing {
        wanted: version.map_or(id.to_owned(), |version| format!("{id} {version}")),
        root: root.to_owned(),
        found,
    }
}
