//! The CORS rules of a bucket, and what they say about a request that a browser sends.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::error_code::{ErrorCode, S3Error};
use super::xml::document::{Document, Node};

/// What an answer depends on where a bucket has rules; caches must not give it to other origins.
pub const VARY: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
);

/// The largest configuration in bytes (S3's limit, and some room for how it is written).
pub const DOCUMENT_LEN_MAX: u64 = 128 << 10;

/// The rules of a bucket, first match first.
#[derive(Debug, PartialEq, Eq)]
pub struct CorsRules(Vec<Rule>);

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    origins: Vec<Pattern>,
    methods: Vec<String>,
    /// In lower case.
    headers: Vec<Pattern>,
    exposed: Vec<String>,
    max_age: Option<u32>,
}

/// A text in which one `*` may stand for anything.
#[derive(Debug, PartialEq, Eq)]
struct Pattern {
    head: String,
    /// Behind the `*`, if there is one.
    tail: Option<String>,
}

/// What a browser wants to know, or does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsRequest {
    origin: HeaderValue,
    method: Method,
    /// Of a preflight alone.
    headers: Vec<HeaderName>,
}

impl CorsRules {
    /// Reads a `CORSConfiguration`; `None` for what is none, or has more than [`RULES_MAX`] rules.
    pub fn parse(document: &[u8]) -> Option<Self> {
        let document = Document::parse(document)?;
        let root = document.root();
        if root.name() != "CORSConfiguration" {
            return None;
        }
        let rules = root.children().filter(|child| child.name() == "CORSRule");
        let rules = rules.map(Rule::read).collect::<Option<Vec<_>>>()?;
        (rules.len() <= RULES_MAX).then_some(Self(rules))
    }

    /// Bytes of memory, roughly.
    pub fn memory(&self) -> usize {
        self.0.iter().map(Rule::memory).sum()
    }

    /// The headers of the answer by the first rule that allows the request; `None`: no rule does.
    pub fn allow(&self, request: &CorsRequest) -> Option<HeaderMap> {
        let origin = request.origin.to_str().ok()?;
        self.0.iter().find_map(|rule| {
            let pattern = rule.origins.iter().find(|it| it.matches(origin))?;
            rule.allows(request).then(|| rule.show(pattern, request))
        })
    }
}

impl Rule {
    fn read(node: Node<'_>) -> Option<Self> {
        let patterns = |texts: Vec<String>| texts.iter().map(|it| Pattern::read(it)).collect();
        let mut headers = texts(node, "AllowedHeader")?;
        for header in &mut headers {
            header.make_ascii_lowercase();
        }
        Some(Self {
            origins: patterns(texts(node, "AllowedOrigin")?),
            methods: texts(node, "AllowedMethod")?,
            headers: patterns(headers),
            exposed: texts(node, "ExposeHeader")?,
            max_age: node.child_number("MaxAgeSeconds"),
        })
    }

    fn memory(&self) -> usize {
        let patterns = self.origins.iter().chain(&self.headers);
        let texts = self.methods.iter().chain(&self.exposed);
        let tail = |it: &Pattern| it.tail.as_ref().map_or(0, String::len);
        size_of::<Self>()
            + patterns
                .map(|it| size_of::<Pattern>() + it.head.len() + tail(it))
                .sum::<usize>()
            + texts
                .map(|it| size_of::<String>() + it.len())
                .sum::<usize>()
    }

    fn allows(&self, request: &CorsRequest) -> bool {
        let method = request.method.as_str();
        let named = |name: &HeaderName| self.headers.iter().any(|it| it.matches(name.as_str()));
        self.methods.iter().any(|it| it == method) && request.headers.iter().all(named)
    }

    fn show(&self, origin: &Pattern, request: &CorsRequest) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if origin.is_anything() {
            // Browsers refuse credentials together with a wildcard.
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, request.origin.clone());
            let yes = HeaderValue::from_static("true");
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
        let requested: Vec<&str> = request.headers.iter().map(HeaderName::as_str).collect();
        insert_list(&mut headers, ACCESS_CONTROL_ALLOW_METHODS, &self.methods);
        insert_list(&mut headers, ACCESS_CONTROL_ALLOW_HEADERS, &requested);
        insert_list(&mut headers, ACCESS_CONTROL_EXPOSE_HEADERS, &self.exposed);
        if let Some(seconds) = self.max_age {
            headers.insert(ACCESS_CONTROL_MAX_AGE, seconds.into());
        }
        headers
    }
}

impl Pattern {
    fn read(text: &str) -> Self {
        match text.split_once('*') {
            Some((head, tail)) => Self {
                head: head.to_owned(),
                tail: Some(tail.to_owned()),
            },
            None => Self {
                head: text.to_owned(),
                tail: None,
            },
        }
    }

    fn matches(&self, text: &str) -> bool {
        match &self.tail {
            None => text == self.head,
            Some(tail) => text
                .strip_prefix(self.head.as_str())
                .is_some_and(|rest| rest.ends_with(tail.as_str())),
        }
    }

    fn is_anything(&self) -> bool {
        self.head.is_empty() && self.tail.as_deref() == Some("")
    }
}

impl CorsRequest {
    /// What an `OPTIONS` asks; an error where it does not say enough.
    pub fn preflight(headers: &HeaderMap) -> Result<Self, S3Error> {
        let bad = |message: String| S3Error::with_message(ErrorCode::BadRequest, message);
        let origin = origin(headers)
            .ok_or_else(|| bad("Insufficient information. Origin request header needed.".into()))?;
        let method = headers
            .get(ACCESS_CONTROL_REQUEST_METHOD)
            .and_then(|method| method.to_str().ok());
        let allowed = METHODS.iter().find(|it| Some(it.as_str()) == method);
        let method = allowed.cloned().ok_or_else(|| {
            let shown: String = method.unwrap_or("null").chars().take(16).collect();
            bad(format!("Invalid Access-Control-Request-Method: {shown}"))
        })?;
        let headers = requested_headers(headers).ok_or_else(|| not_allowed(&method))?;
        Ok(Self {
            origin,
            method,
            headers,
        })
    }

    /// Any other request, if a browser sent it for another origin.
    pub fn actual(method: &Method, headers: &HeaderMap) -> Option<Self> {
        if method == Method::OPTIONS {
            return None;
        }
        Some(Self {
            origin: origin(headers)?,
            method: method.clone(),
            headers: Vec::new(),
        })
    }

    /// 403: there are no rules.
    pub fn not_enabled(&self) -> S3Error {
        forbidden(
            "CORSResponse: CORS is not enabled for this bucket.",
            &self.method,
        )
    }

    /// 403: no rule allows it.
    pub fn not_allowed(&self) -> S3Error {
        not_allowed(&self.method)
    }
}

/// S3's own words, spelling included.
fn not_allowed(method: &Method) -> S3Error {
    let message = "CORSResponse: This CORS request is not allowed. This is usually because the \
                   evalution of Origin, request method / Access-Control-Request-Method or \
                   Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.";
    forbidden(message, method)
}

fn forbidden(message: &'static str, method: &Method) -> S3Error {
    S3Error::with_message(ErrorCode::AccessForbidden, message).detail("Method", method.as_str())
}

fn origin(headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let is_text = origin.to_str().is_ok_and(|text| !text.is_empty());
    is_text.then(|| origin.clone())
}

/// In lower case; `None` for what names no headers, or too many.
fn requested_headers(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for value in headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
        let listed = value.to_str().ok()?.split(',').map(str::trim);
        for name in listed.filter(|name| !name.is_empty()) {
            if names.len() == REQUESTED_MAX {
                return None;
            }
            names.push(HeaderName::from_bytes(name.as_bytes()).ok()?);
        }
    }
    Some(names)
}

/// Joins a list into a header; what fits into none is left out.
fn insert_list(headers: &mut HeaderMap, name: HeaderName, list: &[impl AsRef<str>]) {
    let list: Vec<&str> = list.iter().map(AsRef::as_ref).collect();
    if let Ok(value) = HeaderValue::from_str(&list.join(", "))
        && !list.is_empty()
    {
        headers.insert(name, value);
    }
}

fn texts(node: Node<'_>, name: &str) -> Option<Vec<String>> {
    let named = node.children().filter(|child| child.name() == name);
    named.map(Node::text).collect()
}

/// What a rule can allow.
const METHODS: [Method; 5] = [
    Method::GET,
    Method::PUT,
    Method::POST,
    Method::DELETE,
    Method::HEAD,
];

/// S3's limit.
pub const RULES_MAX: usize = 100;

/// Headers of one preflight. Each is compared with every allowed one.
const REQUESTED_MAX: usize = 64;

#[cfg(test)]
mod tests;
