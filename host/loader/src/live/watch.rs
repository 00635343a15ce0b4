//! Being told that packages were committed, instead of looking all the time.
//!
//! Only a commit marker, a signature, a new folder or something that went away is news; what
//! writers leave around while they write is not. What a watcher misses, or where there is none, the
//! slow look of the controller finds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{CreateKind, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use super::control::DESIRED_FILE;
use super::link::Signal;
use super::model_package::MODEL_FILE;
use crate::manifest::{MANIFEST_FILE, is_passed_over, is_valid_id, version_numbers};

/// Watches directories until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    wanted: Vec<(PathBuf, RecursiveMode)>,
}

impl Watch {
    /// Watches package directories, with all that is in them, and the state directory. Raises
    /// `is_scan_due` and `signal` when there is news.
    pub(crate) fn new(
        packages: &[PathBuf],
        state_dir: &Path,
        is_scan_due: Arc<AtomicBool>,
        signal: Arc<Signal>,
    ) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let is_news = match &event {
                Ok(event) => is_news(event),
                // Events were lost: look.
                Err(_) => true,
            };
            if is_news {
                is_scan_due.store(true, Ordering::Release);
                signal.raise();
            }
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::info!(%error, "no file events here; directories are looked at instead");
        });
        let mut wanted: Vec<(PathBuf, RecursiveMode)> = packages
            .iter()
            .map(|dir| (dir.clone(), RecursiveMode::Recursive))
            .collect();
        wanted.push((state_dir.to_owned(), RecursiveMode::NonRecursive));
        let mut watch = Self {
            watcher: watcher.ok(),
            wanted,
        };
        watch.try_again();
        watch
    }

    /// Begins to watch directories that could not be watched before. Gives whether there are new
    /// ones.
    pub(crate) fn try_again(&mut self) -> bool {
        let before = self.wanted.len();
        if let Some(watcher) = &mut self.watcher {
            self.wanted
                .retain(|(dir, mode)| watcher.watch(dir, *mode).is_err());
        }
        self.wanted.len() < before
    }
}

fn is_news(event: &Event) -> bool {
    let is_removal = matches!(event.kind, EventKind::Remove(_));
    let is_rename = matches!(event.kind, EventKind::Modify(ModifyKind::Name(_)));
    // A folder may have got its marker before anybody watched it.
    let is_folder = matches!(event.kind, EventKind::Create(CreateKind::Folder));
    let is_read = matches!(event.kind, EventKind::Access(_));
    if event.need_rescan() {
        return true;
    }
    event.paths.iter().any(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_marker = name == MANIFEST_FILE
            || name == MODEL_FILE
            || name == DESIRED_FILE
            || name.ends_with(".minisig");
        if is_passed_over(&name) {
            return false;
        }
        let may_be_package = !name.ends_with(".so") && (is_removal || is_rename);
        is_marker && !is_read || is_folder || may_be_package && is_folder_like(&name)
    })
}

/// Whether a name could be that of a package, or of all packages of a plugin or model.
fn is_folder_like(name: &str) -> bool {
    version_numbers(name).is_some() || is_valid_id(name) || !name.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{DataChange, RemoveKind, RenameMode};

    fn event(kind: EventKind, path: &str) -> Event {
        Event::new(kind).add_path(path.into())
    }

    #[test]
    fn only_markers_folders_and_removals_are_news() {
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        for (kind, path, expected) in [
            (renamed, "/p/a.b/1.0.0/plugin.toml", true),
            (renamed, "/p/a.b/1.0.0/.plugin.toml.1.tmp", false),
            (written, "/p/a.b/1.0.0/linux-x86_64/libx.so", false),
            (renamed, "/p/a.b/1.0.0/linux-x86_64/libx.so", false),
            (renamed, "/m/x/1.0.0/model.toml", true),
            (renamed, "/s/desired.json", true),
            (written, "/s/audit.jsonl", false),
            (EventKind::Create(CreateKind::Folder), "/p/a.b/1.0.0", true),
            (
                EventKind::Create(CreateKind::Folder),
                "/p/a.b/1.0.0.tmp",
                false,
            ),
            (EventKind::Remove(RemoveKind::Folder), "/p/a.b/1.0.0", true),
            (renamed, "/p/a.b/1.0.0", true),
        ] {
            assert_eq!(is_news(&event(kind, path)), expected, "{kind:?} {path}");
        }
    }
}
