//! Conditional headers: rewritten for the upstream, which evaluates them; only `If-Range` is
//! evaluated here, since the upstream sees another range.

use std::borrow::Cow;

use super::etag;

/// The value of `If-Match` or `If-None-Match` for the upstream: every entity tag of the list as
/// the upstream knows it, everything else byte by byte.
pub fn upstream_list(value: &str) -> Cow<'_, str> {
    let mut rewritten = String::with_capacity(value.len());
    for (at, member) in members(value).enumerate() {
        if at > 0 {
            rewritten.push(',');
        }
        let tag = member.trim_matches(OWS);
        let (before, after) = member.split_once(tag).unwrap_or((member, ""));
        rewritten.extend([before, &etag::upstream(tag), after]);
    }
    if rewritten == value {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(rewritten)
    }
}

/// Whether the range of a request with this `If-Range` is to be served (RFC 9110, 13.1.5); if
/// not, the whole object is.
///
/// `etag` is the upstream's, `last_modified` its header as sent. Entity tags must be strong; dates
/// must be the same text, which servers print in one form only.
pub fn if_range_holds(if_range: &str, etag: Option<&str>, last_modified: Option<&str>) -> bool {
    let if_range = if_range.trim_matches(OWS);
    if if_range.ends_with('"') {
        let wanted = etag::upstream(if_range);
        return !wanted.starts_with("W/") && etag.is_some_and(|etag| etag == wanted);
    }
    last_modified.is_some_and(|date| date == if_range)
}

/// Whether two entity tags name the same bytes, however each is quoted or shown.
pub fn same_etag(a: &str, b: &str) -> bool {
    let bare = |text: &str| {
        let upstream = etag::upstream(text.trim_matches(OWS)).into_owned();
        upstream.trim_matches('"').to_owned()
    };
    bare(a) == bare(b)
}

/// The members of a list, cut at commas outside of quotes.
fn members(list: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    list.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

/// Optional whitespace of HTTP.
const OWS: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::s3::etag::ETagStyle;

    const A: &str = "d41d8cd98f00b204e9800998ecf8427e";

    #[test]
    fn lists_go_up_as_the_upstream_knows_them() {
        let cases = [
            ("*".to_owned(), "*".to_owned()),
            (format!("\"{A}-0\""), format!("\"{A}\"")),
            (format!("{A}-0"), A.to_owned()),
            (format!("\"{A}\""), format!("\"{A}\"")),
            (format!("\"{A}-12\""), format!("\"{A}-12\"")),
            (
                format!("\"x\",  W/\"{A}-0\" ,\"{A}-0\""),
                format!("\"x\",  W/\"{A}\" ,\"{A}\""),
            ),
            (format!("\"a,{A}-0\""), format!("\"a,{A}-0\"")),
            (",, ".to_owned(), ",, ".to_owned()),
            (String::new(), String::new()),
        ];
        for (value, expected) in cases {
            assert_eq!(upstream_list(&value), expected);
        }
    }

    #[test]
    fn if_range_needs_the_same_version() {
        let (etag, date) = (format!("\"{A}\""), "Wed, 21 Oct 2015 07:28:00 GMT");
        let holds = |if_range: &str| if_range_holds(if_range, Some(&etag), Some(date));
        assert!(holds(&format!("\"{A}-0\"")));
        assert!(holds(&format!(" \"{A}\" ")));
        assert!(holds(date));
        assert!(!holds(&format!("W/\"{A}-0\"")));
        assert!(!holds(&format!("\"{A}-1\"")));
        assert!(!holds("Wed, 21 Oct 2015 07:28:01 GMT"));
        assert!(!holds(""));
        assert!(!if_range_holds(&etag, None, None));
    }

    #[test]
    fn entity_tags_are_compared_by_what_they_name() {
        assert!(same_etag(&format!("\"{A}-0\""), A));
        assert!(same_etag(&format!("{A}-0"), &format!("\"{A}\"")));
        assert!(!same_etag(&format!("{A}-1"), A));
    }

    proptest! {
        /// Whatever a client was shown goes up as what the upstream issued.
        #[test]
        fn a_list_of_shown_tags_is_the_list_of_issued_tags(
            issued in proptest::collection::vec("\"[0-9a-f]{32}(-[1-9])?\"", 0..5),
        ) {
            let shown: Vec<_> = issued.iter().map(|tag| etag::shown(tag, ETagStyle::Dashed)).collect();
            prop_assert_eq!(upstream_list(&shown.join(", ")).into_owned(), issued.join(", "));
        }

        #[test]
        fn other_text_is_untouched(text in "[ -~&&[^0]]*") {
            prop_assert_eq!(upstream_list(&text), text.as_str());
        }
    }
}
