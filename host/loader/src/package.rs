//! Writing a package: from a built library to `<root>/<id>/<version>/`.
//!
//! The library goes in under a name with its digest, then `plugin.toml` is renamed into place as
//! the last step. A reader sees the old package or the new one, never a mixture; what a crash
//! leaves behind is not committed and is passed over.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::elf;
use crate::error::LoadError;
use crate::generation::sha256_hex;
use crate::manifest::{
    Artifact, Budget, Golden, IsolationTable, MANIFEST_FILE, MANIFEST_VERSION, Manifest,
    ManifestError, host_target,
};
use fusebox_plugin_api::abi::MODEL_ID;

/// Why a package cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// The library is not a plugin for this machine.
    #[error(transparent)]
    Library(#[from] LoadError),
    /// The facts do not make a valid manifest.
    #[error("the package would not be valid: {0}")]
    Manifest(#[from] ManifestError),
    /// Another library is committed under this id and version.
    #[error(
        "{path} holds another library already; raise the version, or ask to replace it",
        path = .0.display()
    )]
    Committed(PathBuf),
    /// A file cannot be written.
    #[error("cannot {doing} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

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
    /// Known answers; the file is not copied by this function.
    pub golden: Option<Golden>,
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
            replace: false,
        }
    }
}

/// Writes the package into `root` and returns its directory. Writing the same library again changes
/// nothing.
///
/// # Errors
/// [`PackageError`]; nothing is committed then.
pub fn write_package(root: &Path, spec: &PackageSpec) -> Result<PathBuf, PackageError> {
    let library = &spec.library;
    let bytes = fs::read(library).map_err(|source| io("read", library, source))?;
    let note = elf::inspect(&bytes, library)?;
    let (sha256, target) = (sha256_hex(&bytes), host_target());
    let stem = library
        .file_stem()
        .map_or("plugin".into(), |stem| stem.to_string_lossy());
    let path = format!("{target}/{stem}-{}.so", &sha256[..12]);
    let manifest = Manifest {
        manifest: MANIFEST_VERSION,
        id: note.id,
        version: note.version,
        abi: note.abi,
        kind: spec.kinds.clone(),
        description: spec.description.clone(),
        license: spec.license.clone(),
        artifact: BTreeMap::from([(
            target,
            Artifact {
                path: path.clone(),
                sha256,
            },
        )]),
        isolation: spec.isolation,
        budget: spec.budget,
        golden: spec.golden.clone(),
    };
    let text = manifest.to_toml();
    Manifest::parse(&text)?;
    let package = root.join(&manifest.id).join(&manifest.version);
    let committed = package.join(MANIFEST_FILE);
    match fs::read_to_string(&committed) {
        Ok(old) if old == text && package.join(&path).is_file() => return Ok(package),
        Ok(_) if !spec.replace => return Err(PackageError::Committed(package)),
        Ok(_) | Err(_) => {}
    }
    put(&package.join(&path), &bytes)?;
    put(&committed, text.as_bytes())?;
    remove_other_libraries(&package.join(&path));
    Ok(package)
}

fn io(doing: &'static str, path: &Path, source: std::io::Error) -> PackageError {
    PackageError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Writes a file beside its place and renames it in.
fn put(path: &Path, bytes: &[u8]) -> Result<(), PackageError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let dir = path.parent().unwrap_or(path);
    fs::create_dir_all(dir).map_err(|source| io("create", dir, source))?;
    let (process, count) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = dir.join(format!(".{name}.{process}-{count}.tmp"));
    let written = File::create_new(&partial).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    });
    written.map_err(|source| {
        let _ = fs::remove_file(&partial);
        io("write", path, source)
    })
}

/// Removes libraries that the manifest no longer names; one that stays only takes room.
fn remove_other_libraries(kept: &Path) {
    let entries = kept
        .parent()
        .and_then(|dir| fs::read_dir(dir).ok())
        .into_iter()
        .flatten();
    for entry in entries.filter_map(Result::ok) {
        let is_library = entry.path().extension().is_some_and(|end| end == "so");
        if is_library && entry.path() != kept {
            let _ = fs::remove_file(entry.path());
        }
    }
}
