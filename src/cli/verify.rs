//! `s3seal verify`: reads every object of a prefix to its end, and so authenticates it.

use std::cell::RefCell;
use std::sync::Arc;

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde::Serialize;

use super::CommandError;
use super::bulk::{self, BulkArgs, End, Work};
use super::usage::OTHER_VERSION;
use crate::app::with_causes;
use crate::error::{CustomerKeyRefusal, Error, Fault};
use crate::ops::context::{Cx, S3Request};
use crate::ops::get_object;
use crate::s3::operation::Operation;
use crate::upstream::walk::{Listed, Which};

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    bulk: BulkArgs,
    /// Every version, and not only the current ones
    #[arg(long)]
    versions: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Summary {
    #[serde(flatten)]
    end: Option<End>,
    verified: u64,
    verified_bytes: u64,
    gone: u64,
    /// Under keys that only their writers have.
    customer_key: u64,
    failed: u64,
}

struct Verifying {
    which: Which,
    summary: RefCell<Summary>,
}

/// Reads from the upstream, not through the proxy, with its keys and rules.
pub fn run(args: &Args) -> Result<(), CommandError> {
    bulk::run(&args.bulk, async |_, _, _| {
        Ok(Verifying {
            which: Which::of(args.versions),
            summary: RefCell::default(),
        })
    })
}

/// Plaintext bytes of an object that verifies; `None` if it is gone.
async fn read(cx: &Cx, bucket: &str, object: &Listed) -> Result<Option<u64>, Error> {
    let (operation, key) = (Operation::GetObject, &object.key);
    let mut request = S3Request::of_operator(operation, Method::GET, bucket, key)?;
    request.query = object.version_query();
    let response = get_object::get_object(cx, request).await?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        _ => return Err(Error::UpstreamAnswer("an object that cannot be read")),
    }
    if !object.is_shown_by(response.headers()) {
        return Err(Error::UpstreamAnswer(OTHER_VERSION));
    }
    let (mut body, mut len) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        let data = frame?.into_data().unwrap_or_default();
        len += data.len() as u64;
    }
    Ok(Some(len))
}

impl Work for Verifying {
    type Summary = Summary;

    fn command(&self) -> String {
        self.which.command("verify")
    }

    fn which(&self) -> Which {
        self.which
    }

    async fn one(
        &self,
        cx: &Arc<Cx>,
        bucket: &str,
        object: &Listed,
        say: &dyn Fn(&str),
    ) -> Result<(), Error> {
        let outcome = Box::pin(read(cx, bucket, object)).await;
        let mut summary = self.summary.borrow_mut();
        match outcome {
            Ok(Some(len)) => {
                summary.verified += 1;
                summary.verified_bytes += len;
            }
            Ok(None) => summary.gone += 1,
            Err(Error::CustomerKey(CustomerKeyRefusal::Missing)) => {
                summary.customer_key += 1;
                say("it is under its writer's own key: not verified");
            }
            Err(error) => {
                summary.failed += 1;
                // One object that does not verify says nothing about the next.
                if error.fault() != Fault::Stored {
                    return Err(error);
                }
                say(&with_causes(&error));
            }
        }
        Ok(())
    }

    fn counts(&self) -> (u64, u64) {
        let summary = self.summary.borrow();
        let left = summary.failed + summary.customer_key;
        (summary.verified + summary.gone + left, left)
    }

    fn summary(&self, end: End) -> Summary {
        Summary {
            end: Some(end),
            ..self.summary.borrow().clone()
        }
    }

    fn table(&self, summary: &Summary) -> String {
        format!(
            "verified        {} ({} bytes)\n\
             gone meanwhile  {}\n\
             customer keys   {}\n\
             failed          {}",
            summary.verified,
            summary.verified_bytes,
            summary.gone,
            summary.customer_key,
            summary.failed,
        )
    }

    fn failure(&self, failed: u64) -> String {
        format!("{failed} objects are not verified")
    }
}
