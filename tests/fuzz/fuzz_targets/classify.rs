//! Any request line is classified, and a key that is read goes up as it came.
#![no_main]

use http::{HeaderMap, Method, Uri};
use libfuzzer_sys::fuzz_target;
use s3seal::s3::{operation::classify, query::Query, target::Target};

fuzz_target!(|input: (&str, u8)| {
    let Ok(uri) = Uri::try_from(format!("/{}", input.0)) else { return };
    let Ok(target) = Target::parse(uri.path(), None, &[]) else { return };
    let method = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::HEAD][usize::from(input.1 % 5)].clone();
    let _ = classify(&method, &target, Query::new(uri.query()), &HeaderMap::new()).name();
    assert_eq!(Target::parse(&target.upstream_path(), None, &[]), Ok(target));
});
