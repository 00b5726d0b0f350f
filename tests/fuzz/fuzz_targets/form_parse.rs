//! Forms: no input panics, a split changes nothing, and nothing but the file is longer than a form.
#![no_main]
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use libfuzzer_sys::fuzz_target;
use s3seal::s3::form::{Boundary, Event, FORM_LEN_MAX, FormError, FormParser};

type Read = (Vec<(String, Vec<u8>)>, Vec<u8>);

fn read(boundary: &Boundary, wire: &[u8], piece: usize) -> Result<Read, FormError> {
    let mut parser = FormParser::new(boundary);
    let (mut fields, mut file) = (Vec::new(), Vec::new());
    for piece in wire.chunks(piece) {
        parser.push(Bytes::copy_from_slice(piece), &mut |event| {
            match event {
                Event::Field { name, value } => fields.push((name, value)),
                Event::File(part) => fields.push((part.name, Vec::new())),
                Event::Data(data) => file.extend_from_slice(&data),
            }
            Ok(())
        })?;
    }
    parser.finish()?;
    Ok((fields, file))
}

fuzz_target!(|wire: &[u8]| {
    let kind = HeaderValue::from_static("multipart/form-data; boundary=b-b");
    let boundary = Boundary::parse(&HeaderMap::from_iter([(CONTENT_TYPE, kind)])).unwrap();
    let whole = read(&boundary, wire, wire.len().max(1));
    assert_eq!(read(&boundary, wire, 1), whole);
    if let Ok((fields, _)) = whole {
        let len: usize = fields
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        assert!(len <= FORM_LEN_MAX);
    }
});
