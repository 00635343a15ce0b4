//! Version ranges, such as `>=1.2.0, <1.4.3`: which versions of a plugin a revocation hits, and
//! which a model package takes.

use std::fmt;

use serde::Serialize;

use crate::manifest::version_numbers;

/// Versions between bounds; all bounds hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionRange(Vec<(Comparison, [u64; 3])>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
}

impl Comparison {
    /// Longer signs first, so that `<=` is not read as `<`.
    const SIGNS: [(&'static str, Self); 5] = [
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("<", Self::Below),
        (">", Self::Above),
        ("=", Self::Equal),
    ];
}

impl VersionRange {
    /// Reads bounds such as `>=1.2.0, <1.4.3`, one version, or `*`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.trim() == "*" {
            return Some(Self::default());
        }
        let bound = |part: &str| {
            let part = part.trim();
            let mut signs = Comparison::SIGNS.iter();
            let (comparison, version) = signs
                .find_map(|(sign, comparison)| Some((*comparison, part.strip_prefix(sign)?)))
                .unwrap_or((Comparison::Equal, part));
            Some((comparison, version_numbers(version.trim())?))
        };
        text.split(',').map(bound).collect::<Option<_>>().map(Self)
    }

    /// Whether a version lies inside.
    #[must_use]
    pub fn contains(&self, version: [u64; 3]) -> bool {
        self.0.iter().all(|(comparison, bound)| match comparison {
            Comparison::Below => version < *bound,
            Comparison::AtMost => version <= *bound,
            Comparison::Above => version > *bound,
            Comparison::AtLeast => version >= *bound,
            Comparison::Equal => version == *bound,
        })
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("*");
        }
        for (position, (comparison, [major, minor, patch])) in self.0.iter().enumerate() {
            let between = if position > 0 { ", " } else { "" };
            // A bare version is that one alone.
            let mut signs = Comparison::SIGNS.iter();
            let sign = signs.find(|(_, one)| one == comparison && *one != Comparison::Equal);
            let sign = sign.map_or("", |(sign, _)| *sign);
            write!(f, "{between}{sign}{major}.{minor}.{patch}")?;
        }
        Ok(())
    }
}

impl Serialize for VersionRange {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_they_say() {
        let holds = |range: &str, version: &str| {
            let range = VersionRange::parse(range).unwrap();
            assert_eq!(VersionRange::parse(&range.to_string()), Some(range.clone()));
            range.contains(version_numbers(version).unwrap())
        };
        assert!(holds("*", "0.0.1"));
        assert!(holds("1.4.2", "1.4.2") && !holds("1.4.2", "1.4.3"));
        assert!(holds("<= 1.4.2", "1.4.2") && !holds("<1.4.2", "1.4.2"));
        assert!(holds(">=1.2.0, <1.10.0", "1.9.9") && !holds(">=1.2.0, <1.10.0", "1.10.0"));
        assert!(holds(">1.0.0", "1.0.1") && !holds(">1.0.0", "1.0.0"));
        for wrong in ["", "1.4", "~1.4.0", ">=1.0.0,", "1.x.0"] {
            assert_eq!(VersionRange::parse(wrong), None, "{wrong}");
        }
    }
}
