//! The page as it lies in the program.

use super::*;

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let elsewhere = PAGE.replace("http://www.w3.org/2000/svg", "");
    for wrong in [
        "http://", "https://", "//cdn", "@import", "url(", "src=", "<iframe", "<form",
    ] {
        assert!(!elsewhere.contains(wrong), "{wrong}");
    }
    assert_eq!(PAGE.matches("<script").count(), 1);
    assert_eq!(PAGE.matches("<style").count(), 1);
    // A style of an element's own is not in the policy.
    assert!(!PAGE.contains("style=\""));
    assert!(PAGE.len() < 64 * 1024, "{}", PAGE.len());
}

/// The page's script has no way to read text as HTML, or as a program.
#[test]
fn texts_stay_texts() {
    for way in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "DOMParser",
        "setHTML",
        "srcdoc",
        "createContextualFragment",
        "eval(",
        "Function(",
        "javascript:",
        "onclick",
        "onerror",
    ] {
        assert!(!PAGE.contains(way), "{way}");
    }
}

#[test]
fn the_policy_names_the_script_and_the_style_of_the_page() {
    let policy = page().policy;
    let policy = policy.to_str().unwrap();
    for tag in ["script", "style"] {
        let (_, rest) = PAGE.split_once(&format!("<{tag}>")).unwrap();
        let (text, _) = rest.split_once(&format!("</{tag}>")).unwrap();
        assert!(text.len() > 1000);
        let hash = BASE64.encode(digest(&SHA256, text.as_bytes()).as_ref());
        assert!(
            policy.contains(&format!("{tag}-src 'sha256-{hash}';")),
            "{policy}"
        );
    }
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
}
