//! Where a generation comes from: the steps from files to code that can make instances.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fusebox_plugin_api::abi::LEARNER_ID;
use fusebox_plugin_api::config::Config;

use super::facts::WeightsFacts;
use super::files::Stamp;
use super::golden::{Golden, GoldenSet, MAX_GOLDEN_BYTES};
use super::model_package::read_model;
use super::rows::{Companions, Dressing, RowContract, judge};
use super::state::{Reason, Rejection};
use crate::backend::worker::{self, ProbeFacts};
use crate::backend::{Prepared, WorkerOptions};
use crate::discover::Discovered;
use crate::generation::next_generation;
use crate::load::{LoadOptions, LoadedPlugin, Verified, map, scan, verify};
use crate::manifest::{Isolation, Manifest};
use crate::onnx_file::agreed_feature_set;

/// Loads a library in a throw-away child, so that one that crashes costs a child.
pub trait Prober: fmt::Debug + Send + Sync {
    /// Whether a child lived through the load, and through making and ending one instance.
    ///
    /// # Errors
    /// A sentence that says how the child ended.
    fn probe(&self, trial: &Trial<'_>) -> Result<(), String>;
}

/// What a child tries before this process does.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// The library.
    pub prepared: &'a Prepared,
    /// What its package says of it.
    pub manifest: &'a Manifest,
    /// What instances are made of.
    pub config: &'a Config,
    /// What instances are made of.
    pub artifact: &'a [u8],
}

/// Tries libraries in jailed worker processes.
#[derive(Debug, Clone)]
pub struct WorkerProber {
    /// How the processes are started and limited.
    pub options: WorkerOptions,
}

impl Prober for WorkerProber {
    fn probe(&self, trial: &Trial<'_>) -> Result<(), String> {
        let facts = ProbeFacts {
            id: &trial.manifest.id,
            version: &trial.manifest.version,
            has_learner: trial.manifest.kind.iter().any(|kind| kind == LEARNER_ID),
        };
        let model = Some((trial.config, trial.artifact));
        let report = worker::probe(trial.prepared, facts, model, &self.options);
        report.map(drop).map_err(|error| error.to_string())
    }
}

/// What verifying found out.
#[derive(Debug, Clone)]
pub struct Verification {
    /// Id of the plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its library.
    pub digest: String,
    /// Where its code is going to run.
    pub tier: Isolation,
    /// Number of the generation.
    pub generation: u64,
    /// What instances are made of.
    pub config: Config,
    /// What instances are made of.
    pub artifact: Arc<[u8]>,
    /// The model package, where there is one.
    pub weights: Option<WeightsFacts>,
    /// Known answers.
    pub golden: Vec<GoldenSet>,
    /// Digest of the feature set that it was trained on, where the model package says so.
    pub feature_set: Option<String>,
    /// What the host made of the files beside its weights.
    pub dressing: Dressing,
    /// What an operator should hear of it, though it may go on.
    pub warning: Option<String>,
}

/// Whether a step was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It was.
    Done,
    /// It was left out.
    Skipped(Reason),
}

/// The steps of one generation, in the order of the functions.
pub trait Origin: fmt::Debug + Send {
    /// What the files look like now, as the store of the target sees them too.
    fn stamp(&mut self) -> Stamp;

    /// Checks digests and the right to run.
    ///
    /// # Errors
    /// Why it goes no further.
    fn verify(&mut self) -> Result<Verification, Rejection>;

    /// Reads the library without running it.
    ///
    /// # Errors
    /// Why it goes no further.
    fn scan(&mut self) -> Result<Step, Rejection>;

    /// Loads the library in a throw-away child.
    ///
    /// # Errors
    /// Why it goes no further.
    fn probe(&mut self) -> Result<Step, Rejection>;

    /// Whether `map` adds no code to any process.
    fn is_mapped(&self) -> bool;

    /// Opens the library where its tier says.
    ///
    /// # Errors
    /// Why it goes no further.
    fn map(&mut self) -> Result<(Step, LoadedPlugin), Rejection>;
}

/// The code of a [`FileOrigin`].
#[derive(Debug, Clone)]
pub enum Library {
    /// A package, to be loaded.
    Package(PathBuf),
    /// Code that is mapped already.
    Mapped(Box<LoadedPlugin>),
}

/// A generation from a package, a model package, or both.
#[derive(Debug)]
pub struct FileOrigin {
    library: Library,
    /// The package of the code, also where that is mapped already.
    package: Option<PathBuf>,
    model_package: Option<PathBuf>,
    config: Config,
    artifact: Arc<[u8]>,
    options: LoadOptions,
    prober: Option<Arc<dyn Prober>>,
    rows: Option<Arc<dyn RowContract>>,
    verified: Option<Verified>,
}

impl FileOrigin {
    /// Code without a model package: instances are made of `config` and `artifact`.
    #[must_use]
    pub fn new(
        library: Library,
        (config, artifact): (Config, Arc<[u8]>),
        options: LoadOptions,
    ) -> Self {
        let package = match &library {
            Library::Package(path) => Some(path.clone()),
            Library::Mapped(_) => None,
        };
        Self {
            library,
            package,
            model_package: None,
            config,
            artifact,
            options,
            prober: None,
            rows: None,
            verified: None,
        }
    }

    /// The same, of code that came from this package.
    #[must_use]
    pub fn of_package(mut self, path: &Path) -> Self {
        self.package = Some(path.to_owned());
        self
    }

    /// The same, made of what this model package says.
    #[must_use]
    pub fn with_model_package(mut self, path: &Path) -> Self {
        self.model_package = Some(path.to_owned());
        self
    }

    /// The same, probed by `prober`.
    #[must_use]
    pub fn with_prober(mut self, prober: Option<Arc<dyn Prober>>) -> Self {
        self.prober = prober;
        self
    }

    /// The same, for rows of which the host says this.
    #[must_use]
    pub fn with_rows(mut self, rows: Option<Arc<dyn RowContract>>) -> Self {
        self.rows = rows;
        self
    }

    /// What the code alone says.
    fn verify_code(&mut self) -> Result<Verification, Rejection> {
        let mut found = Verification {
            plugin: String::new(),
            version: String::new(),
            digest: String::new(),
            tier: Isolation::default(),
            generation: 0,
            config: self.config.clone(),
            artifact: Arc::clone(&self.artifact),
            weights: None,
            golden: Vec::new(),
            feature_set: None,
            dressing: Dressing::default(),
            warning: None,
        };
        match &self.library {
            Library::Mapped(loaded) => {
                found.plugin = loaded.id().to_owned();
                found.version = loaded.version().to_owned();
                found.digest = loaded.digest().unwrap_or_default().to_owned();
                (found.tier, found.generation) = (loaded.tier(), next_generation());
            }
            Library::Package(path) => {
                let package = Discovered::at(path);
                check_names(&package)?;
                let verified = verify(&package, &self.options)?;
                found
                    .golden
                    .extend(golden_of(&package, verified.manifest())?);
                found.plugin.clone_from(&verified.manifest().id);
                found.version.clone_from(&verified.manifest().version);
                found.digest = verified.digest().to_owned();
                (found.tier, found.generation) = (verified.tier(), verified.generation());
                self.verified = Some(verified);
            }
        }
        Ok(found)
    }

    /// What the model package at `path` makes of that code.
    fn verify_model(&mut self, path: &Path, found: &mut Verification) -> Result<(), Rejection> {
        let read = read_model(path)?;
        if !read.manifest.takes_plugin(&found.version) {
            let wanted = read.manifest.plugin_version.unwrap_or_default();
            return Err(Rejection::new(
                Reason::Manifest,
                format!("{} needs {} {wanted}", path.display(), found.plugin),
            ));
        }
        let name = format!("{} {}", read.manifest.name, read.manifest.version);
        let companions = Companions {
            scaler: &read.scaler,
            readout: &read.readout,
            bars: read.manifest.bars.as_ref(),
            audit: read.manifest.audit.as_ref(),
        };
        let own = (read.manifest.plugin.as_str(), read.artifact.as_slice());
        let feature_set = agreed_feature_set(read.manifest.feature_set, own).map_err(|words| {
            Rejection::new(Reason::Features, format!("{name}: {words}")).of_weights()
        })?;
        let rows = self.rows.as_deref();
        (found.dressing, found.warning) = judge(rows, &name, feature_set.as_deref(), companions)
            .map_err(Rejection::of_weights)?;
        found.feature_set = feature_set;
        found.golden.extend(read.golden);
        let config = self.options.completed(&found.plugin, read.params);
        (found.config, found.artifact) = (config, read.artifact.into());
        // The trial in a child makes the instance that is going to be made here.
        self.config.clone_from(&found.config);
        self.artifact = Arc::clone(&found.artifact);
        found.weights = Some(WeightsFacts {
            version: read.manifest.version,
            sha256: read.sha256,
        });
        Ok(())
    }

    fn verified(&self) -> Result<&Verified, Rejection> {
        self.verified
            .as_ref()
            .ok_or_else(|| Rejection::new(Reason::Manifest, "the package was not verified"))
    }
}

impl Origin for FileOrigin {
    fn stamp(&mut self) -> Stamp {
        let of = |path: &Option<PathBuf>| path.as_deref().map(Stamp::of).unwrap_or_default();
        of(&self.package).and(of(&self.model_package))
    }

    fn verify(&mut self) -> Result<Verification, Rejection> {
        let mut found = self.verify_code()?;
        match self.model_package.clone() {
            Some(path) => self.verify_model(&path, &mut found)?,
            None => {
                let config = std::mem::take(&mut found.config);
                found.config = self.options.completed(&found.plugin, config);
                self.config.clone_from(&found.config);
                if let Some(rows) = &self.rows {
                    let refuse = |words| Rejection::new(Reason::Features, words);
                    found.dressing = rows.dress(None).map_err(refuse)?;
                }
            }
        }
        Ok(found)
    }

    fn scan(&mut self) -> Result<Step, Rejection> {
        if self.is_mapped() {
            return Ok(Step::Skipped(Reason::SkippedMapped));
        }
        scan(self.verified()?)?;
        Ok(Step::Done)
    }

    fn probe(&mut self) -> Result<Step, Rejection> {
        if self.is_mapped() {
            return Ok(Step::Skipped(Reason::SkippedMapped));
        }
        let verified = self.verified()?;
        if verified.tier() >= Isolation::Worker {
            return Ok(Step::Skipped(Reason::SkippedWorker));
        }
        let Some(prober) = &self.prober else {
            return Ok(Step::Skipped(Reason::SkippedNoProber));
        };
        let probed = prober.probe(&Trial {
            prepared: &verified.prepared(),
            manifest: verified.manifest(),
            config: &self.config,
            artifact: &self.artifact,
        });
        probed.map_err(|message| Rejection::new(Reason::Probe, message))?;
        Ok(Step::Done)
    }

    fn is_mapped(&self) -> bool {
        matches!(self.library, Library::Mapped(_))
    }

    fn map(&mut self) -> Result<(Step, LoadedPlugin), Rejection> {
        if let Library::Mapped(loaded) = &self.library {
            return Ok((
                Step::Skipped(Reason::SkippedMapped),
                LoadedPlugin::clone(loaded),
            ));
        }
        let Some(verified) = self.verified.take() else {
            return Err(Rejection::new(Reason::Map, "the package was not verified"));
        };
        Ok((Step::Done, map(verified, &self.options)?))
    }
}

/// A package is what its directory says it is.
fn check_names(package: &Discovered) -> Result<(), Rejection> {
    let manifest = package.manifest()?;
    let stated = Path::new(&manifest.id).join(&manifest.version);
    if package.path.ends_with(&stated) {
        return Ok(());
    }
    Err(Rejection::new(
        Reason::Manifest,
        format!(
            "{} says that it is {} {}, but lies in another directory",
            package.path.display(),
            manifest.id,
            manifest.version
        ),
    ))
}

/// The known answers of a package.
fn golden_of(package: &Discovered, manifest: &Manifest) -> Result<Option<GoldenSet>, Rejection> {
    let (Some(stated), Some(bytes)) = (&manifest.golden, package.read_golden(MAX_GOLDEN_BYTES)?)
    else {
        return Ok(None);
    };
    let refuse = |problem: String| {
        Rejection::new(Reason::Manifest, format!("{}: {problem}", stated.vectors))
    };
    let golden = Golden::parse(&String::from_utf8_lossy(&bytes)).map_err(refuse)?;
    let artifact = match &golden.artifact {
        Some(path) => Some(package.read_file(path, MAX_GOLDEN_BYTES)?.0),
        None => None,
    };
    Ok(Some(GoldenSet {
        golden,
        artifact,
        tolerance_ulp: stated.tolerance_ulp,
    }))
}
