//! The ACL of an object that is written anew in its own place. S3 gives whatever is written an ACL of
//! its own, so grants go along as headers (AWS, "Access control list overview").

use bytes::Bytes;
use http::header::ETAG;
use http::{HeaderMap, Method, StatusCode};

use super::context::Cx;
use super::incoming::{self, insert_text};
use super::subresource::{put_document, with_version, written_version};
use crate::error::Error;
use crate::s3::conditional::same_etag;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::xml::document::{Document, Node};
use crate::upstream::request::UpstreamRequest;

/// The grants of an object; none if they are those of any new object.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// As the headers of a write name them, in an order of their own.
    named: Vec<Named>,
    /// As they were read.
    document: Bytes,
}

/// A header, and the grantees in it.
type Named = (&'static str, Vec<String>);

impl Grants {
    /// Asks for the grants of the object that `request` names. What stands in the way comes back as a
    /// sentence.
    pub async fn of(cx: &Cx, mut request: UpstreamRequest) -> Result<Result<Self, String>, Error> {
        request.method = Method::GET;
        request.query = with_version(ACL, &request.query);
        let response = cx.upstream.send(request).await?;
        let status = response.status();
        if status != StatusCode::OK {
            return match (status, incoming::refusal(cx, response).await?.0.as_str()) {
                // There are no ACLs.
                (StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED, _)
                | (_, "AccessControlListNotSupported") => Ok(Ok(Self::default())),
                (StatusCode::NOT_FOUND, _) => Err(Error::Changed),
                (StatusCode::FORBIDDEN, _) => {
                    Ok(Err("its ACL cannot be read (s3:GetObjectAcl)".to_owned()))
                }
                (StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS, _) => {
                    Err(S3Error::new(ErrorCode::SlowDown).into())
                }
                (status, code) => Ok(Err(format!("its ACL cannot be read: {status} {code}"))),
            };
        }
        let document = incoming::document(response.into_body(), ACL_LEN_MAX).await?;
        let named = Document::parse(&document).and_then(|document| grants(document.root()));
        let Some(named) = named else {
            return Ok(Err("its ACL is not one that can be kept".to_owned()));
        };
        Ok(Ok(Self { named, document }))
    }

    /// Adds them to the headers that the object is written with.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        for (name, grantees) in &self.named {
            insert_text(headers, name, &grantees.join(", "));
        }
    }

    /// Makes sure that what was written has them: some servers ignore those headers. `request` names
    /// the object, `done` are the headers of the answer to the write.
    pub async fn ensure(
        &self,
        cx: &Cx,
        request: impl Fn(Method) -> UpstreamRequest,
        (done, etag): (&HeaderMap, &str),
    ) -> Result<(), Error> {
        if self.named.is_empty() {
            return Ok(());
        }
        let version = written_version(done);
        let request = |method| {
            let mut request = request(method);
            request.query.clone_from(&version);
            request
        };
        let found = Self::of(cx, request(Method::GET)).await?;
        if found.is_ok_and(|found| found.named == self.named) {
            return Ok(());
        }
        let head = cx.upstream.send(request(Method::HEAD)).await?;
        // What is there now may be somebody else's.
        let found = head.headers().get(ETAG);
        let found = found.and_then(|found| found.to_str().ok());
        if found.is_none_or(|found| !same_etag(found, etag)) {
            return Ok(());
        }
        if put_document(cx, request(Method::PUT), ACL, self.document.clone()).await? {
            return Ok(());
        }
        // From here on nothing else knows them.
        tracing::error!(grants = ?self.named, "the ACL of an object that was written anew is lost");
        Err(Error::UpstreamAnswer("the ACL is not stored"))
    }
}

/// The headers that say what the document says; none for the owner alone. `None`: it cannot be said.
fn grants(root: Node<'_>) -> Option<Vec<Named>> {
    if root.name() != "AccessControlPolicy" {
        return None;
    }
    let owner = root.child("Owner").and_then(|owner| owner.child_text("ID"));
    let owner = owner.unwrap_or_default();
    let list: Vec<_> = root.child("AccessControlList")?.children().collect();
    if let [only] = list.as_slice()
        && is_owners(*only, &owner)
    {
        return Some(Vec::new());
    }
    let mut found: Vec<Named> = Vec::new();
    for grant in list {
        let name = header(&grant.child_text("Permission")?)?;
        let grantee = named(grant.child("Grantee")?)?;
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, grantees)) => grantees.push(grantee),
            None => found.push((name, vec![grantee])),
        }
    }
    // No header says that nobody may do anything.
    if found.is_empty() {
        return None;
    }
    found.sort_unstable();
    for (_, grantees) in &mut found {
        grantees.sort_unstable();
    }
    Some(found)
}

/// Full control for the owner, as every new object has it. Servers without ACLs name neither.
fn is_owners(grant: Node<'_>, owner: &str) -> bool {
    let grantee = grant.child("Grantee");
    let text = |name| grantee.and_then(|grantee| grantee.child_text(name));
    grant.child_text("Permission").as_deref() == Some("FULL_CONTROL")
        && text("ID").unwrap_or_default() == owner
        && text("URI").is_none()
        && text("EmailAddress").is_none()
}

fn header(permission: &str) -> Option<&'static str> {
    Some(match permission {
        "FULL_CONTROL" => "x-amz-grant-full-control",
        "READ" => "x-amz-grant-read",
        "READ_ACP" => "x-amz-grant-read-acp",
        // Means nothing for an object, and is kept all the same.
        "WRITE" => "x-amz-grant-write",
        "WRITE_ACP" => "x-amz-grant-write-acp",
        _ => return None,
    })
}

fn named(grantee: Node<'_>) -> Option<String> {
    let (kind, value) = [
        ("id", "ID"),
        ("uri", "URI"),
        ("emailAddress", "EmailAddress"),
    ]
    .into_iter()
    .find_map(|(kind, name)| Some((kind, grantee.child_text(name)?)))?;
    let is_plain = value
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'"');
    is_plain.then(|| format!("{kind}=\"{value}\""))
}

/// The sub-resource.
const ACL: &str = "acl";

/// A hundred grants of some hundred bytes.
const ACL_LEN_MAX: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(owner: &str, grants_of: &[(&str, &str)]) -> Option<Vec<(&'static str, String)>> {
        let list = grants_of.iter().map(|(grantee, permission)| {
            format!(
                "<Grant><Grantee>{grantee}</Grantee><Permission>{permission}</Permission></Grant>"
            )
        });
        let document = format!(
            "<AccessControlPolicy><Owner><ID>{owner}</ID></Owner>\
             <AccessControlList>{}</AccessControlList></AccessControlPolicy>",
            list.collect::<String>()
        );
        let document = Document::parse(document.as_bytes()).unwrap();
        let found = grants(document.root())?.into_iter();
        Some(found.map(|(name, all)| (name, all.join(", "))).collect())
    }

    #[test]
    fn the_owner_alone_needs_no_grant_and_all_others_are_named() {
        let alone = [("<ID>me</ID>", "FULL_CONTROL")];
        assert_eq!(found("me", &alone), Some(Vec::new()));
        // as MinIO says that it has no ACLs
        assert_eq!(found("", &[("", "FULL_CONTROL")]), Some(Vec::new()));
        let all = "<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>";
        let expected = [
            ("x-amz-grant-full-control", "id=\"me\"".to_owned()),
            (
                "x-amz-grant-read",
                "id=\"you\", uri=\"http://acs.amazonaws.com/groups/global/AllUsers\"".to_owned(),
            ),
        ];
        let grants = [
            (all, "READ"),
            ("<ID>me</ID>", "FULL_CONTROL"),
            ("<ID>you</ID>", "READ"),
        ];
        assert_eq!(found("me", &grants), Some(expected.to_vec()));
        // An owner who has taken rights from himself keeps it so.
        let less = [("x-amz-grant-read", "id=\"me\"".to_owned())];
        assert_eq!(found("me", &[("<ID>me</ID>", "READ")]), Some(less.to_vec()));
    }

    #[test]
    fn what_cannot_be_said_in_headers_is_not_guessed() {
        for grants in [
            &[("<ID>a\"b</ID>", "READ")][..],
            &[("<ID>you</ID>", "OTHER")],
            &[("<DisplayName>you</DisplayName>", "READ")],
            &[("", "FULL_CONTROL")],
            &[],
        ] {
            assert_eq!(found("me", grants), None, "{grants:?}");
        }
    }
}
