//! What the kernel says of this process: its threads, descriptors, memory and page faults.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Duration;

/// How long a thread that was joined may still be listed.
const LINGER: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Number of threads.
pub(super) fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Whether the number of threads falls to `most` within a moment. The kernel lists a thread for a
/// short time after it was joined.
pub(super) fn threads_fall_to(most: usize) -> bool {
    let looks = LINGER.as_millis() / LOOK_EVERY.as_millis();
    (0..looks).any(|_| {
        threads() <= most || {
            thread::sleep(LOOK_EVERY);
            false
        }
    })
}

/// What the open descriptors lead to, as `3 -> /path`.
pub(super) fn open_files() -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return BTreeSet::new();
    };
    let described = entries.filter_map(Result::ok).filter_map(|entry| {
        let leads_to = fs::read_link(entry.path()).ok()?;
        let is_this_listing = leads_to.to_string_lossy().ends_with("/fd");
        let number = entry.file_name();
        (!is_this_listing)
            .then(|| format!("{} -> {}", number.to_string_lossy(), leads_to.display()))
    });
    described.collect()
}

/// Memory that is this process's alone, KiB.
pub(super) fn private_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Page faults of this thread that needed no disk, so far.
pub(super) fn minor_faults() -> Option<u64> {
    let stat = fs::read_to_string("/proc/thread-self/stat").ok()?;
    // The name, in parentheses, may contain blanks; the tenth field is the count.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(7)?.parse().ok()
}

/// Where the code of `file` lies in this process.
pub(super) fn code_range(file: &str) -> Option<(u64, u64, u64)> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let mut found: Option<(u64, u64)> = None;
    let mut base = None;
    for line in maps.lines().filter(|line| line.ends_with(file)) {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let end = u64::from_str_radix(end, 16).ok()?;
        base.get_or_insert(start);
        if fields.next()?.contains('x') {
            found = Some(found.map_or((start, end), |(first, _)| (first, end)));
        }
    }
    let (start, end) = found?;
    Some((base?, start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_itself() {
        assert!(threads() >= 1);
        assert!(open_files().iter().any(|line| line.starts_with("0 -> ")));
        assert!(private_kib().is_some_and(|kib| kib > 0));
        // A thread that was given used memory may not have had a fault yet. The allocator takes so
        // large a piece from the system each time, and new pages are a fault each.
        let before = minor_faults().unwrap();
        let pages = std::hint::black_box(vec![1_u8; 40 << 20]);
        assert!(minor_faults().unwrap() > before, "{} bytes", pages.len());
    }
}
