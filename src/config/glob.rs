//! Patterns for bucket names: `*` for any characters, `?` for one.

use std::fmt;

use wildmatch::WildMatch;

/// A pattern that matches whole bucket names. Operators write them, clients never do.
#[derive(Clone)]
pub struct BucketGlob(WildMatch);

impl BucketGlob {
    /// Reads a pattern; `None` where a character cannot be part of a bucket name.
    pub fn new(pattern: &str) -> Option<Self> {
        let is_fine = |byte: u8| is_in_names(byte) || b"*?".contains(&byte);
        let is_pattern = !pattern.is_empty() && pattern.bytes().all(is_fine);
        is_pattern.then(|| Self(WildMatch::new(pattern)))
    }

    /// Whether the pattern matches all of `bucket`. What cannot be the name of a bucket matches none,
    /// not even `*`: an ARN, or a bucket with something behind a slash.
    pub fn matches(&self, bucket: &str) -> bool {
        bucket.bytes().all(is_in_names) && (self.is_any() || self.0.matches(bucket))
    }

    /// Whether the pattern is `*`.
    pub fn is_any(&self) -> bool {
        self.0.pattern_chars() == ['*']
    }
}

impl fmt::Display for BucketGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.pattern())
    }
}

impl fmt::Debug for BucketGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.pattern())
    }
}

fn is_in_names(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_".contains(&byte)
}

/// Reads a list of patterns, noting a problem for each that is none.
pub(super) fn list(
    key: &str,
    patterns: &[String],
    check: &mut super::problem::Check<'_>,
) -> Vec<BucketGlob> {
    let mut globs = Vec::with_capacity(patterns.len());
    for (index, pattern) in patterns.iter().enumerate() {
        match BucketGlob::new(pattern) {
            Some(glob) => globs.push(glob),
            None => check.problem(
                format!("{key}[{index}]"),
                "must be a bucket name or a pattern of one with * and ? only",
            ),
        }
    }
    if patterns.is_empty() {
        check.problem(key, "must not be empty");
    }
    globs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_and_question_mark_match_whole_names() {
        let cases = [
            ("*", "anything", true),
            ("*", "", true),
            ("logs-*", "logs-", true),
            ("logs-*", "logs-2026.01", true),
            ("logs-*", "my-logs-1", false),
            ("log?", "logs", true),
            ("log?", "log", false),
            ("log?", "logss", false),
            ("a.b", "axb", false),
            ("*-prod-*", "eu-prod-1", true),
            ("logs-*", "logs-a/b", false),
            ("*", "accesspoint/a", false),
            ("*", "tenant:a", false),
            ("a?b", "a/b", false),
            ("*", "a b", false),
        ];
        for (pattern, bucket, expected) in cases {
            let glob = BucketGlob::new(pattern).unwrap();
            assert_eq!(glob.matches(bucket), expected, "{pattern} on {bucket}");
        }
    }

    #[test]
    fn other_wildcards_are_refused() {
        for pattern in ["", "[ab]", "{a,b}", "a/b", "a\\*", "!a", "a b"] {
            assert!(BucketGlob::new(pattern).is_none(), "{pattern}");
        }
    }
}
