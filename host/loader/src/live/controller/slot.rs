//! What the controller knows of one live model.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::running::Running;
use crate::live::control::{KeptOut, MAX_KEPT_OUT, Request, Role};
use crate::live::facts::{Generation, Instance};
use crate::live::files::Stamp;
use crate::live::link::{Link, Port};
use crate::live::policy::{ModelSource, ModelSpec};

/// Generations that can be gone back to, and those whose metrics are shown.
const KEPT_BEFORE: usize = 4;
const KEPT_FACTS: usize = 8;

/// An order to go back that is on its way.
#[derive(Debug)]
pub(super) struct GoingBack {
    /// The operator's request, where one asked for it.
    pub(super) request: Option<u64>,
    /// Answers whether the predicting side did.
    pub(super) port: Arc<Port<bool>>,
}

/// One live model.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) spec: ModelSpec,
    pub(super) link: Arc<Link>,
    pub(super) live: Arc<Generation>,
    pub(super) is_in_probation: bool,
    /// Proven generations before the live one, the newest last.
    pub(super) before: Vec<Arc<Generation>>,
    /// Instances that wait, warm; the newest last.
    pub(super) standbys: Vec<Instance>,
    pub(super) running: Option<Running>,
    /// Requests that wait for what runs.
    pub(super) queued: VecDeque<Request>,
    /// An order to go back that the predicting side has not read yet.
    pub(super) going_back: Option<GoingBack>,
    pub(super) kept_out: Vec<KeptOut>,
    /// What the files of refused packages looked like that may have been unfinished.
    pub(super) unfinished: BTreeMap<String, Stamp>,
    /// Generations that were told to be revoked, with the words.
    pub(super) told_revoked: BTreeMap<u64, String>,
    /// The revoked generation of which it was told that nothing can take its place.
    pub(super) told_stuck: Option<u64>,
    /// What was live when the request was begun that is being carried out: version and number.
    pub(super) asked_at: Option<(String, u64)>,
    /// The last return to a generation that had waited: the number that was left, and its own.
    pub(super) returned_to: Option<(u64, u64)>,
    pub(super) last_rejection: Option<KeptOut>,
    /// The newest generations, for their metrics.
    pub(super) facts: VecDeque<Arc<Generation>>,
}

impl Slot {
    pub(super) fn new(spec: ModelSpec, link: Arc<Link>, kept_out: Vec<KeptOut>) -> Self {
        let live = link.active();
        Self {
            spec,
            link,
            facts: VecDeque::from([Arc::clone(&live)]),
            live,
            is_in_probation: false,
            before: Vec::new(),
            standbys: Vec::new(),
            running: None,
            queued: VecDeque::new(),
            going_back: None,
            kept_out,
            unfinished: BTreeMap::new(),
            told_revoked: BTreeMap::new(),
            told_stuck: None,
            asked_at: None,
            returned_to: None,
            last_rejection: None,
        }
    }

    /// Whether a command for this target is for this model.
    pub(super) fn is_meant(&self, target: &str) -> bool {
        self.spec.name == target || self.live.plugin() == target
    }

    /// Keeps a generation out.
    pub(super) fn keep_out(&mut self, refused: KeptOut) {
        self.kept_out
            .retain(|one| one.fingerprint != refused.fingerprint);
        if self.kept_out.len() >= MAX_KEPT_OUT {
            self.kept_out.remove(0);
        }
        self.kept_out.push(refused);
    }

    /// Whether nobody wants this generation back.
    pub(super) fn is_kept_out(&self, generation: &Generation) -> bool {
        let mut refused = self.kept_out.iter();
        refused.any(|one| one.holds(&generation.fingerprint))
    }

    /// Lets everything of this version in again; everything at all without a version.
    pub(super) fn let_in(&mut self, version: Option<&str>) {
        let is_meant = |one: &KeptOut| version.is_none_or(|version| one.version == version);
        self.kept_out.retain(|one| !is_meant(one));
        self.unfinished.clear();
    }

    /// The predicting side says which generation is live; this side follows.
    pub(super) fn follow(&mut self, keeps_before: bool) {
        let active = self.link.active();
        if active.number == self.live.number {
            return;
        }
        self.before.retain(|one| one.number != active.number);
        if keeps_before && !self.is_in_probation {
            self.before.push(Arc::clone(&self.live));
            if self.before.len() > KEPT_BEFORE {
                self.before.remove(0);
            }
        }
        if !self.facts.iter().any(|one| one.number == active.number) {
            self.facts.push_back(Arc::clone(&active));
        }
        if self.facts.len() > KEPT_FACTS {
            self.facts.pop_front();
        }
        self.live = active;
    }

    /// The generation before, which waits for the end of a probation.
    pub(super) fn parked(&self) -> Option<&Arc<Generation>> {
        self.before.last().filter(|_| self.is_in_probation)
    }

    /// What is loaded: who answers first, then who waits.
    pub(super) fn loaded(&self) -> impl Iterator<Item = (Role, &Arc<Generation>)> {
        let standbys = self.standbys.iter().map(|one| &one.generation);
        let waiting = self.parked().into_iter().chain(standbys);
        let waiting = waiting.map(|one| (Role::Standby, one));
        std::iter::once((Role::Live, &self.live)).chain(waiting)
    }

    /// Whether an operator pinned the model or its plugin.
    pub(super) fn is_pinned(&self, pins: &BTreeMap<String, String>) -> bool {
        let keys = [self.spec.name.as_str(), self.live.plugin()];
        keys.iter().any(|key| pins.contains_key(*key))
    }

    /// Whether the code of this private copy is in use.
    pub(super) fn uses(&self, copy: &std::path::Path) -> bool {
        let parked = self.parked();
        let standbys = self.standbys.iter().map(|one| &one.generation);
        let mut used = standbys.chain([&self.live]).chain(parked);
        used.any(|one| one.loaded.private_copy() == Some(copy))
    }

    /// How many instances wait behind the live one.
    pub(super) fn wanted_standbys(&self) -> usize {
        match &self.spec.source {
            ModelSource::Plugin { versions, .. } | ModelSource::Packages { versions, .. } => {
                versions.standbys()
            }
        }
    }
}
