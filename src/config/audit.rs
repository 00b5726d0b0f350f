//! Where the audit log goes.

use std::path::PathBuf;

use serde::Deserialize;

use super::problem::Check;

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Where lines go.
    pub place: AuditPlace,
    /// Whether requests are refused while it cannot be written.
    pub is_required: bool,
}

/// Where lines of the audit log go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditPlace {
    /// To the end of this file.
    File(PathBuf),
    /// To standard output.
    Stdout,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditTable {
    file: Option<PathBuf>,
    stdout: Option<bool>,
    required: Option<bool>,
}

pub(super) fn check(table: &AuditTable, check: &mut Check<'_>) -> Option<Audit> {
    let place = match (&table.file, table.stdout.unwrap_or(false)) {
        (Some(file), false) => AuditPlace::File(check.resolve(file)),
        (None, true) => AuditPlace::Stdout,
        (Some(_), true) => {
            check.problem("audit.stdout", "must not be true where audit.file is set");
            return None;
        }
        (None, false) => {
            if table.required == Some(true) {
                check.problem("audit.required", "needs audit.file or audit.stdout");
            }
            return None;
        }
    };
    Some(Audit {
        place,
        is_required: table.required.unwrap_or(false),
    })
}
