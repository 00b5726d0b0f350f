//! A path, query and range in any shape: no panic; the upstream's path names the same object.
#![no_main]

use libfuzzer_sys::fuzz_target;
use s3seal::s3::query::Query;
use s3seal::s3::range::ByteRange;
use s3seal::s3::target::Target;

fuzz_target!(|input: (&str, &str, &str, u64)| {
    let (path, query, range, size) = input;
    if let Ok(target) = Target::parse(path, None, &[]) {
        assert_eq!(Target::parse(&target.upstream_path(), None, &[]), Ok(target));
    }
    for (name, _) in Query::new(Some(query)).pairs() {
        let _ = Query::new(Some(query)).get(name);
    }
    if let Some(Ok(resolved)) = ByteRange::parse(range).map(|range| range.resolve(size)) {
        assert!(resolved.first() <= resolved.last() && resolved.last() < size);
    }
});
