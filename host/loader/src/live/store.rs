//! Where packages lie, as the controller sees it: a list, and the way from an entry to its steps.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use fusebox_plugin_api::config::Config;

use super::catalog::Catalog;
use super::choose::Target;
use super::files::Stamp;
use super::origin::{FileOrigin, Library, Origin, Prober};
use super::rows::RowContract;
use crate::clock::{Clock, SystemClock};
use crate::discover::Discovered;
use crate::load::{LoadOptions, LoadedPlugin};
use crate::manifest::Isolation;
use crate::trust::{Revocations, TrustPolicy};

/// What an origin is asked for.
#[derive(Debug)]
pub struct Order<'a> {
    /// The packages.
    pub target: &'a Target,
    /// The code of the target, where it is mapped already and may be used again.
    pub mapped: Option<LoadedPlugin>,
    /// The configuration, where no model package has one.
    pub config: Config,
    /// The artifact, where no model package has one.
    pub artifact: Arc<[u8]>,
    /// The weakest tier that is possible at the moment.
    pub floor: Isolation,
    /// What the host says of its rows.
    pub rows: Option<Arc<dyn RowContract>>,
}

/// Where packages lie.
pub trait Store: fmt::Debug + Send {
    /// What is there.
    fn catalog(&mut self) -> Catalog;

    /// What the files of a target look like.
    fn stamp(&mut self, target: &Target) -> Stamp;

    /// Which plugins may run no longer, as it is now.
    fn revocations(&mut self) -> Revocations;

    /// Whether a target may run as things are now; why not, in words. Nothing of it is loaded.
    ///
    /// # Errors
    /// What the policy, or the package itself, says against it.
    fn judge(&mut self, target: &Target) -> Result<(), String>;

    /// The steps of a target.
    fn origin(&mut self, order: Order<'_>) -> Box<dyn Origin>;
}

/// Where the operator's trust policy is read, anew for every package, so that a key that is added
/// or revoked counts without a restart.
pub trait TrustSource: fmt::Debug + Send + Sync {
    /// The policy as it is now.
    ///
    /// # Errors
    /// Why it cannot be read, in words; nobody is trusted then.
    fn policy(&self) -> Result<TrustPolicy, String>;
}

/// Directories.
#[derive(Debug)]
pub struct DirStore {
    /// Plugins: `<dir>/<id>/<version>/plugin.toml`.
    pub plugin_dirs: Vec<PathBuf>,
    /// Model packages: `<dir>/<name>/<version>/model.toml`.
    pub model_dirs: Vec<PathBuf>,
    /// How libraries are loaded.
    pub load: LoadOptions,
    /// How libraries are tried first.
    pub prober: Option<Arc<dyn Prober>>,
    /// Where the trust policy is read; `None` keeps that of `load`.
    pub trust: Option<Arc<dyn TrustSource>>,
    /// The revocations that were read last: they count on where the files cannot be read.
    revoked: Revocations,
    /// What was wrong with the policy when it was read last, so that it is told once.
    problem: Option<String>,
}

impl DirStore {
    /// Packages in these directories, loaded like this, neither tried first nor judged by any other
    /// policy than that of `load`.
    #[must_use]
    pub fn new(plugin_dirs: Vec<PathBuf>, model_dirs: Vec<PathBuf>, load: LoadOptions) -> Self {
        Self {
            plugin_dirs,
            model_dirs,
            revoked: load.trust.revocations.clone(),
            load,
            prober: None,
            trust: None,
            problem: None,
        }
    }

    fn trust_now(&self) -> TrustPolicy {
        match self.trust.as_ref().map(|source| source.policy()) {
            None => self.load.trust.clone(),
            Some(Ok(policy)) => policy,
            Some(Err(words)) => {
                tracing::warn!("nobody is trusted, because the policy cannot be read: {words}");
                TrustPolicy::default()
            }
        }
    }
}

impl Store for DirStore {
    fn catalog(&mut self) -> Catalog {
        Catalog::read(&self.plugin_dirs, &self.model_dirs)
    }

    fn stamp(&mut self, target: &Target) -> Stamp {
        let model = target
            .model
            .as_ref()
            .map(|model| Stamp::of(&model.found.path));
        Stamp::of(&target.plugin.path).and(model.unwrap_or_default())
    }

    fn revocations(&mut self) -> Revocations {
        let Some(source) = &self.trust else {
            return self.revoked.clone();
        };
        let problem = match source.policy() {
            Ok(policy) => {
                self.revoked = policy.revocations;
                None
            }
            Err(words) => Some(words),
        };
        if let Some(words) = problem.as_ref().filter(|_| problem != self.problem) {
            tracing::warn!(
                "what is live is held to the revocations that were read last, because the policy \
                 cannot be read: {words}"
            );
        }
        self.problem = problem;
        self.revoked.clone()
    }

    fn judge(&mut self, target: &Target) -> Result<(), String> {
        let package = Discovered::at(&target.plugin.path);
        let now_unix_s = SystemClock.unix_ns().div_euclid(1_000_000_000);
        let judged = self.trust_now().judge(&package, now_unix_s);
        judged.map(drop).map_err(|error| error.to_string())
    }

    fn origin(&mut self, order: Order<'_>) -> Box<dyn Origin> {
        let mut load = self.load.clone().with_trust(self.trust_now());
        load.trust.floor = load.trust.floor.max(order.floor);
        let library = match order.mapped {
            Some(loaded) => Library::Mapped(Box::new(loaded)),
            None => Library::Package(order.target.plugin.path.clone()),
        };
        let made_of = (order.config, order.artifact);
        let origin = FileOrigin::new(library, made_of, load)
            .of_package(&order.target.plugin.path)
            .with_prober(self.prober.clone())
            .with_rows(order.rows);
        match &order.target.model {
            Some(model) => Box::new(origin.with_model_package(&model.found.path)),
            None => Box::new(origin),
        }
    }
}
