//! ListBuckets for clients of some buckets: the upstream's list without what is out of their scope.
//! Pages are our own, since an upstream's page marker may be a name that the client must not see.

use data_encoding::BASE64URL_NOPAD;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use hyper::Response;

use super::context::{Cx, S3Request};
use super::forward;
use super::incoming::{self, respond, set_plaintext_len};
use super::outgoing::{self, BodyHeaders};
use crate::body::Body;
use crate::body::idle::Received;
use crate::error::Error;
use crate::s3::error_code::S3Error;
use crate::s3::query::Query;
use crate::s3::uri;
use crate::s3::xml::buckets::{Bucket, BucketList};
use crate::upstream::request::UpstreamRequest;

/// See the module. Clients of all buckets get the upstream's answer as it is.
pub async fn list_buckets(cx: &Cx, request: S3Request) -> Result<Response<Body>, Error> {
    let scoped = request.caller.clone();
    let Some(caller) = scoped.filter(|caller| !caller.client.may_use_all_buckets()) else {
        return forward::forward(cx, request).await;
    };
    let asked = Asked::parse(&request)?;
    let upstream = || {
        let mut upstream = request.upstream(Method::GET);
        upstream.headers = outgoing::headers(&request, BodyHeaders::Drop);
        upstream
    };
    let mut all = match gather(cx, upstream, &asked.upstream_query).await? {
        Ok(all) => all,
        Err(refused) => return incoming::relay(cx, refused).await,
    };
    if all.next.is_some() {
        return Err(Error::UpstreamAnswer("a list of buckets without an end"));
    }
    all.buckets.retain(|bucket| {
        let is_after = asked
            .after
            .as_ref()
            .is_none_or(|after| bucket.name > *after);
        let is_served = cx.rules.serves_some(&bucket.name);
        // Not every upstream knows the parameter.
        let prefix = asked.prefix.as_deref().unwrap_or_default();
        let is_named = bucket.name.starts_with(prefix);
        is_after && is_named && is_served && caller.client.may_use_bucket(&bucket.name)
    });
    all.buckets.sort_by(|one, other| one.name.cmp(&other.name));
    let is_cut = all.buckets.len() > asked.max;
    all.buckets.truncate(asked.max);
    let last = all.buckets.last().filter(|_| is_cut);
    let token = last.map(|last: &Bucket| BASE64URL_NOPAD.encode(last.name.as_bytes()));
    let document = all.render(token.as_deref(), asked.prefix.as_deref());
    let mut headers = http::HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    set_plaintext_len(&mut headers, document.len() as u64);
    Ok(respond(StatusCode::OK, headers, Body::full(document)))
}

/// What of the list is asked for.
struct Asked {
    after: Option<String>,
    max: usize,
    prefix: Option<String>,
    /// What the upstream is to look at: all pages of it.
    upstream_query: String,
}

impl Asked {
    fn parse(request: &S3Request) -> Result<Self, Error> {
        let query = Query::new(Some(&request.query));
        let text = |name: &'static str| {
            let value = query
                .get(name)
                .map(|value| String::from_utf8(value.into_owned()));
            value.transpose().map_err(|_| invalid(name))
        };
        let after = match text(TOKEN)? {
            None => None,
            Some(token) => {
                let name = BASE64URL_NOPAD.decode(token.as_bytes()).ok();
                let name = name.and_then(|name| String::from_utf8(name).ok());
                Some(name.ok_or_else(|| invalid(TOKEN))?)
            }
        };
        let max = match text(MAX)? {
            None => BUCKETS_MAX,
            Some(text) => {
                let max = text
                    .parse()
                    .ok()
                    .filter(|max| (1..=BUCKETS_MAX).contains(max));
                max.ok_or_else(|| invalid(MAX))?
            }
        };
        let kept = query.pairs().filter(|(name, _)| {
            let name = uri::decode(name);
            ![MAX, TOKEN]
                .iter()
                .any(|own| name.as_ref() == own.as_bytes())
        });
        let kept: Vec<String> = kept
            .map(|(name, value)| format!("{name}={}", value.unwrap_or_default()))
            .collect();
        Ok(Self {
            after,
            max,
            prefix: text("prefix")?,
            upstream_query: kept.join("&"),
        })
    }
}

/// All pages, or the answer of an upstream that says no. Of a list that goes on behind the last page
/// that is looked at, `next` says so.
pub async fn gather(
    cx: &Cx,
    request: impl Fn() -> UpstreamRequest,
    query: &str,
) -> Result<Result<BucketList, Response<Received>>, Error> {
    let mut all: Option<BucketList> = None;
    let mut page_query = query.to_owned();
    for _page in 0..PAGES_MAX {
        let mut upstream = request();
        upstream.query = page_query;
        let response = cx.upstream.send(upstream).await?;
        if response.status() != StatusCode::OK {
            return Ok(Err(response));
        }
        let document = incoming::document(response.into_body(), DOCUMENT_LEN_MAX).await?;
        let page =
            BucketList::parse(&document).ok_or(Error::UpstreamAnswer("a list of buckets"))?;
        let next = page.next.clone();
        match &mut all {
            None => all = Some(page),
            Some(all) => {
                all.buckets.extend(page.buckets);
                all.next = page.next;
            }
        }
        let Some(next) = next else {
            break;
        };
        let next = uri::encode_component(next.as_bytes());
        let separator = if query.is_empty() { "" } else { "&" };
        page_query = format!("{query}{separator}{TOKEN}={next}");
    }
    all.map(Ok)
        .ok_or(Error::UpstreamAnswer("a list of buckets"))
}

fn invalid(name: &'static str) -> Error {
    S3Error::invalid_argument("The argument is not valid.", name, "").into()
}

const TOKEN: &str = "continuation-token";
const MAX: &str = "max-buckets";

/// The most that S3 shows at once.
const BUCKETS_MAX: usize = 10_000;

/// S3 has at most a million buckets in an account; a client of some needs not so many.
const PAGES_MAX: usize = 100;

/// 10,000 buckets with all that is said of one.
const DOCUMENT_LEN_MAX: u64 = 8 << 20;
