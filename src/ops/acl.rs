//! The ACL of an object that is written anew in its own place. S3 gives whatever is written an ACL of
//! its own, so grants go along as headers (AWS, "Access control list overview").

use http::{HeaderMap, Method, StatusCode};

use super::context::Cx;
use super::incoming::{self, insert_text};
use crate::body::collect;
use crate::error::Error;
use crate::s3::xml::document::{Document, Node};
use crate::upstream::request::UpstreamRequest;

/// Adds the grants of an object to the headers that it is written with, if they are not those of any
/// new one. `request` names the object; what stands in the way comes back as a sentence.
pub async fn keep_grants(
    cx: &Cx,
    mut request: UpstreamRequest,
    headers: &mut HeaderMap,
) -> Result<Result<(), String>, Error> {
    request.method = Method::GET;
    "acl=".clone_into(&mut request.query);
    let response = cx.upstream.send(request).await?;
    if response.status() != StatusCode::OK {
        let (code, _) = incoming::refusal(cx, response).await?;
        return Ok(match code.as_str() {
            // There are no ACLs.
            "AccessControlListNotSupported" | "MethodNotAllowed" | "NotImplemented" => Ok(()),
            "NoSuchKey" => return Err(Error::Changed),
            code => Err(format!("its ACL cannot be read: {code}")),
        });
    }
    let document = collect(response.into_body(), ACL_LEN_MAX).await?;
    let grants = Document::parse(&document).and_then(|document| grants(document.root()));
    let Some(grants) = grants else {
        return Ok(Err("its ACL is not one that can be kept".to_owned()));
    };
    for (name, grantees) in grants {
        insert_text(headers, name, &grantees);
    }
    Ok(Ok(()))
}

/// The headers that say what the document says; none for the owner alone. `None`: it cannot be said.
fn grants(root: Node<'_>) -> Option<Vec<(&'static str, String)>> {
    if root.name() != "AccessControlPolicy" {
        return None;
    }
    let owner = child(root, "Owner").and_then(|owner| owner.child_text("ID"));
    let list = child(root, "AccessControlList")?;
    let mut found: Vec<(&'static str, String)> = Vec::new();
    let mut is_default = true;
    for grant in list.children() {
        let grantee = child(grant, "Grantee")?;
        let permission = grant.child_text("Permission")?;
        let is_owner = owner.is_some() && grantee.child_text("ID") == owner;
        is_default &= is_owner && permission == "FULL_CONTROL";
        let name = header(&permission)?;
        let grantee = named(grantee)?;
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, grantees)) => {
                grantees.push_str(", ");
                grantees.push_str(&grantee);
            }
            None => found.push((name, grantee)),
        }
    }
    if is_default {
        found.clear();
    }
    Some(found)
}

fn child<'d>(node: Node<'d>, name: &str) -> Option<Node<'d>> {
    node.children().find(|child| child.name() == name)
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

/// A hundred grants of some hundred bytes.
const ACL_LEN_MAX: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(grants_of: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        let list: Vec<_> = grants_of
            .iter()
            .map(|(grantee, permission)| {
                format!(
                    "<Grant><Grantee>{grantee}</Grantee><Permission>{permission}</Permission></Grant>"
                )
            })
            .collect();
        let document = format!(
            "<AccessControlPolicy><Owner><ID>me</ID></Owner>\
             <AccessControlList>{}</AccessControlList></AccessControlPolicy>",
            list.concat()
        );
        let document = Document::parse(document.as_bytes()).unwrap();
        let found = grants(document.root())?;
        let text = |(name, value): (&str, String)| (name.to_owned(), value);
        Some(found.into_iter().map(text).collect())
    }

    #[test]
    fn the_owner_alone_needs_no_grant_and_all_others_are_named() {
        assert_eq!(found(&[("<ID>me</ID>", "FULL_CONTROL")]), Some(Vec::new()));
        let all = "<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>";
        let expected = [
            ("x-amz-grant-full-control", "id=\"me\""),
            (
                "x-amz-grant-read",
                "uri=\"http://acs.amazonaws.com/groups/global/AllUsers\", id=\"you\"",
            ),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let grants = [
            ("<ID>me</ID>", "FULL_CONTROL"),
            (all, "READ"),
            ("<ID>you</ID>", "READ"),
        ];
        assert_eq!(found(&grants), Some(expected.to_vec()));
        // An owner who has taken rights from himself keeps it so.
        let less = [("x-amz-grant-read".to_owned(), "id=\"me\"".to_owned())];
        assert_eq!(found(&[("<ID>me</ID>", "READ")]), Some(less.to_vec()));
    }

    #[test]
    fn what_cannot_be_said_in_headers_is_not_guessed() {
        for grant in [
            ("<ID>a\"b</ID>", "READ"),
            ("<ID>you</ID>", "OTHER"),
            ("<DisplayName>you</DisplayName>", "READ"),
        ] {
            assert_eq!(found(&[grant]), None, "{grant:?}");
        }
    }
}
