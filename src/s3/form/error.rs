//! Why a form is refused.

use thiserror::Error;

use super::FORM_LEN_MAX;
use crate::s3::error_code::{ErrorCode, S3Error};

/// A refused form: always the client's fault. Display is for logs, and holds no value of a field.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormError {
    /// A condition of the policy does not hold.
    #[error("a condition of the policy does not hold")]
    Condition {
        /// As S3 shows it.
        condition: String,
    },
    /// The policy is no longer valid.
    #[error("the policy has expired")]
    Expired,
    /// Fields that the policy does not mention.
    #[error("fields that the policy does not mention")]
    ExtraFields {
        /// Their names.
        names: Vec<String>,
    },
    /// The file is not as long as the rest of the form made it.
    #[error("the file is not as long as the form makes it")]
    FileLength,
    /// More than one file.
    #[error("more than one file in the form")]
    Files,
    /// Fields that take longer than the head of a request may.
    #[error("the fields did not arrive in time")]
    Late,
    /// No multipart/form-data.
    #[error("malformed form: {0}")]
    Malformed(&'static str),
    /// A field without which there is no object, or no signature.
    #[error("field {name} is missing")]
    Missing {
        /// The field.
        name: &'static str,
    },
    /// Everything but the file.
    #[error("no file in the form")]
    NoFile,
    /// A field that means something to S3 as a header, but nothing in a form.
    #[error("field {name} is not implemented")]
    NotImplemented {
        /// The field.
        name: String,
    },
    /// No policy.
    #[error("malformed policy: {0}")]
    Policy(&'static str),
    /// A field is there twice, so that the policy and the object could mean different ones.
    #[error("a field is repeated")]
    Repeated {
        /// The field.
        name: String,
    },
    /// Tags that are no document of tags.
    #[error("malformed tags")]
    Tagging,
    /// More than [`FORM_LEN_MAX`] without the file.
    #[error("a form of more than {FORM_LEN_MAX} bytes without its file")]
    TooLong,
    /// Longer than the policy allows.
    #[error("file of {len} bytes, at most {max} are allowed")]
    TooLarge {
        /// Bytes of the file.
        len: u64,
        /// Of the policy.
        max: u64,
    },
    /// Shorter than the policy allows.
    #[error("file of {len} bytes, at least {min} are allowed")]
    TooSmall {
        /// Bytes of the file.
        len: u64,
        /// Of the policy.
        min: u64,
    },
    /// A field that cannot be the header it stands for.
    #[error("a field that no header can hold")]
    Value {
        /// The field.
        name: String,
    },
}

impl FormError {
    /// What the client is told.
    pub fn to_s3(&self) -> S3Error {
        match self {
            Self::Condition { condition } => {
                denied(&format!("Policy Condition failed: {condition}"))
            }
            Self::Expired => denied("Policy expired."),
            Self::ExtraFields { names } => {
                denied(&format!("Extra input fields: {}", names.join(", ")))
            }
            Self::FileLength | Self::Malformed(_) => S3Error::new(ErrorCode::MalformedPostRequest),
            Self::Late => S3Error::new(ErrorCode::RequestTimeout),
            Self::Missing { name } => missing(name),
            Self::Files => files("2"),
            Self::NoFile => files("0"),
            Self::NotImplemented { name } => {
                S3Error::new(ErrorCode::NotImplemented).detail("Header", name)
            }
            Self::Policy(what) => S3Error::with_message(
                ErrorCode::InvalidPolicyDocument,
                format!("Invalid Policy: {what}."),
            ),
            Self::Repeated { name } => S3Error::with_message(
                ErrorCode::InvalidArgument,
                "A field of a form must not be repeated.",
            )
            .detail("ArgumentName", name),
            Self::Tagging => S3Error::new(ErrorCode::MalformedXml),
            Self::TooLong => S3Error::new(ErrorCode::MaxPostPreDataLengthExceeded),
            Self::TooLarge { len, max } => S3Error::new(ErrorCode::EntityTooLarge)
                .detail("ProposedSize", len.to_string())
                .detail("MaxSizeAllowed", max.to_string()),
            Self::TooSmall { len, min } => S3Error::new(ErrorCode::EntityTooSmall)
                .detail("ProposedSize", len.to_string())
                .detail("MinSizeAllowed", min.to_string()),
            Self::Value { name } => S3Error::with_message(
                ErrorCode::InvalidArgument,
                "A field of the form is no value of the header it stands for.",
            )
            .detail("ArgumentName", name),
        }
    }
}

fn denied(why: &str) -> S3Error {
    let message = format!("Invalid according to Policy: {why}");
    S3Error::with_message(ErrorCode::AccessDenied, message)
}

fn files(count: &'static str) -> S3Error {
    let message = "POST requires exactly one file upload per request.";
    S3Error::invalid_argument(message, "file", count)
}

fn missing(name: &'static str) -> S3Error {
    S3Error::invalid_argument(
        format!(
            "Bucket POST must contain a field named '{name}'.  If it is specified, please check \
             the order of the fields."
        ),
        name,
        "",
    )
}
