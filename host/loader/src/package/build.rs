//! A package from a built library, and its signature.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fusebox_plugin_api::abi::MODEL_ID;

use super::commit::{Image, commit, lock, put, put_manifest};
use super::{PackageError, io};
use crate::discover::{Discovered, SignatureBytes, is_committed};
use crate::disk::{Disk, RealDisk};
use crate::elf;
use crate::generation::sha256_hex;
use crate::manifest::{
    Artifact, Budget, Golden, IsolationTable, MANIFEST_VERSION, Manifest, SIGNATURE_FILE,
    StateTable, host_target,
};
use crate::trust::Signer;

/// What goes into a package. Id, version and contract version come from the library's note.
#[derive(Debug, Clone)]
pub struct PackageSpec {
    /// The built library.
    pub library: PathBuf,
    /// Factory ids it offers.
    pub kinds: Vec<String>,
    /// What it is, for people.
    pub description: Option<String>,
    /// SPDX expression.
    pub license: Option<String>,
    /// Weakest allowed isolation.
    pub isolation: IsolationTable,
    /// Promises.
    pub budget: Budget,
    /// A file of known answers; it goes in under its own name.
    pub golden: Option<PathBuf>,
    /// Largest allowed difference from the known answers, in units in the last place.
    pub tolerance_ulp: u64,
    /// States that it writes and understands.
    pub state: Option<StateTable>,
    /// More files: where each is, and its path inside the package.
    pub files: Vec<(PathBuf, String)>,
    /// Whether a committed package of the same id and version may be replaced.
    pub replace: bool,
}

impl PackageSpec {
    /// A package of a library that offers models only, with defaults for the rest.
    #[must_use]
    pub fn new(library: impl Into<PathBuf>) -> Self {
        Self {
            library: library.into(),
            kinds: vec![MODEL_ID.to_owned()],
            description: None,
            license: None,
            isolation: IsolationTable::default(),
            budget: Budget::default(),
            golden: None,
            tolerance_ulp: 0,
            state: None,
            files: Vec::new(),
            replace: false,
        }
    }
}

/// Writes an unsigned package into `root` and returns its directory. Writing the same again changes
/// nothing.
///
/// # Errors
/// [`PackageError`]; nothing is committed then.
pub fn write_package(root: &Path, spec: &PackageSpec) -> Result<PathBuf, PackageError> {
    write_signed_package(root, spec, None)
}

/// Writes a package into `root`, signed where there is a signer, and returns its directory.
///
/// # Errors
/// [`PackageError`]; nothing is committed then.
pub fn write_signed_package(
    root: &Path,
    spec: &PackageSpec,
    signer: Option<&Signer>,
) -> Result<PathBuf, PackageError> {
    write_on(&RealDisk, root, spec, signer)
}

pub(super) fn write_on(
    disk: &dyn Disk,
    root: &Path,
    spec: &PackageSpec,
    signer: Option<&Signer>,
) -> Result<PathBuf, PackageError> {
    let (manifest, files) = gather(spec)?;
    let text = manifest.to_toml();
    Manifest::from_bytes(text.as_bytes())?;
    let package = root.join(&manifest.id).join(&manifest.version);
    let _lock = lock(root)?;
    if is_committed(&package) {
        let old = Discovered::at(&package);
        let is_same = old.manifest_bytes() == text.as_bytes() && is_sound(&old);
        if is_same {
            sign_where_needed(disk, &old, signer)?;
            return Ok(package);
        }
        if !spec.replace {
            return Err(PackageError::Committed(package));
        }
    }
    let signature = match signer {
        None => None,
        Some(signer) => {
            Some(signer.sign_manifest(text.as_bytes(), &manifest.id, &manifest.version)?)
        }
    };
    let image = Image {
        id: &manifest.id,
        version: &manifest.version,
        manifest: text.as_bytes(),
        signature: signature.as_deref().map(str::as_bytes),
        files: files.keys().map(String::as_str).collect(),
        content: &|path| Ok(files.get(path).cloned().unwrap_or_default()),
    };
    commit(disk, root, &image)
}

/// The manifest and the content of every file by its path in the package.
fn gather(spec: &PackageSpec) -> Result<(Manifest, BTreeMap<String, Vec<u8>>), PackageError> {
    let read = |path: &Path| fs::read(path).map_err(|source| io("read", path, source));
    let library = &spec.library;
    let bytes = read(library)?;
    let note = elf::inspect(&bytes, library)?;
    let (sha256, target) = (sha256_hex(&bytes), host_target());
    let path = format!("{target}/{}-{}.so", stem(library), &sha256[..12]);
    let artifact = Artifact {
        path: path.clone(),
        sha256,
    };
    let mut files = BTreeMap::from([(path, bytes)]);
    let mut golden = None;
    if let Some(file) = &spec.golden {
        let (name, bytes) = (file_name(file), read(file)?);
        golden = Some(Golden {
            vectors: name.clone(),
            sha256: sha256_hex(&bytes),
            tolerance_ulp: spec.tolerance_ulp,
        });
        files.insert(name, bytes);
    }
    let mut others = BTreeMap::new();
    for (file, path) in &spec.files {
        let bytes = read(file)?;
        others.insert(path.clone(), sha256_hex(&bytes));
        files.insert(path.clone(), bytes);
    }
    let manifest = Manifest {
        manifest: MANIFEST_VERSION,
        id: note.id,
        version: note.version,
        abi: note.abi,
        kind: spec.kinds.clone(),
        description: spec.description.clone(),
        license: spec.license.clone(),
        artifact: BTreeMap::from([(target, artifact)]),
        isolation: spec.isolation,
        budget: spec.budget,
        golden,
        state: spec.state.clone(),
        files: others,
    };
    Ok((manifest, files))
}

/// The name of a file without its end, of characters that a manifest takes.
fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let plain: String = stem
        .chars()
        .map(|one| {
            if one.is_ascii_alphanumeric() || "_+-".contains(one) {
                one
            } else {
                '-'
            }
        })
        .take(100)
        .collect();
    if plain.is_empty() {
        "plugin".to_owned()
    } else {
        plain
    }
}

/// The name that a file has where it lies; the manifest refuses one that it cannot take.
fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Whether a committed package is whole.
fn is_sound(package: &Discovered) -> bool {
    package
        .check_files(u64::MAX)
        .is_ok_and(|files| files.iter().all(|file| file.problem.is_none()))
}

/// Signs a package in place, replacing a signature that is there, and returns what was signed.
///
/// # Errors
/// [`PackageError`] where its manifest is broken, a file is not the one that the manifest names, or
/// the signature cannot be written.
pub fn sign_package(path: &Path, signer: &Signer) -> Result<Discovered, PackageError> {
    let package = Discovered::at(path);
    let checks = package.check_files(u64::MAX)?;
    let problems: Vec<String> = checks
        .iter()
        .filter_map(|file| Some(format!("{}: {}", file.path, file.problem.as_ref()?)))
        .collect();
    if !problems.is_empty() {
        let path = path.to_owned();
        return Err(PackageError::Files { path, problems });
    }
    put_signature(&RealDisk, &package, signer)?;
    Ok(Discovered::at(path))
}

/// Signs a package whose manifest is right already, unless this key has done so.
fn sign_where_needed(
    disk: &dyn Disk,
    package: &Discovered,
    signer: Option<&Signer>,
) -> Result<(), PackageError> {
    let Some(signer) = signer else {
        return Ok(());
    };
    let is_signed = match package.signature() {
        SignatureBytes::Present(bytes) => signer.made(bytes, package.manifest_bytes()),
        SignatureBytes::Absent | SignatureBytes::Unreadable(_) => false,
    };
    if is_signed {
        return Ok(());
    }
    put_signature(disk, package, signer)
}

fn put_signature(
    disk: &dyn Disk,
    package: &Discovered,
    signer: &Signer,
) -> Result<(), PackageError> {
    let manifest = package.manifest()?;
    let bytes = package.manifest_bytes();
    let signature = signer.sign_manifest(bytes, &manifest.id, &manifest.version)?;
    put(
        disk,
        &package.path.join(SIGNATURE_FILE),
        signature.as_bytes(),
    )?;
    // The same manifest again: those who watch look at the package when its manifest arrives.
    put_manifest(disk, &package.path, bytes)
}
