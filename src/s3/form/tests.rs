use http::HeaderValue;
use proptest::prelude::*;

use super::*;

/// What a form is read as.
#[derive(Debug, Default, PartialEq)]
struct Read {
    fields: Vec<(String, Vec<u8>)>,
    file: Option<FilePart>,
    data: Vec<u8>,
}

fn boundary(text: &str) -> Result<Boundary, FormError> {
    let mut headers = HeaderMap::new();
    let text = format!("multipart/form-data; boundary={text}");
    headers.insert(CONTENT_TYPE, HeaderValue::try_from(text).unwrap());
    Boundary::parse(&headers)
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Read, FormError> {
    let mut parser = FormParser::new(&boundary("b-b").unwrap());
    let mut read = Read::default();
    for piece in pieces {
        parser.push(Bytes::copy_from_slice(piece), &mut |event| {
            match event {
                Event::Field { name, value } => {
                    assert!(read.file.is_none(), "fields behind the file are none");
                    read.fields.push((name, value));
                }
                Event::File(part) => assert_eq!(read.file.replace(part), None),
                Event::Data(data) => {
                    assert!(!data.is_empty() && read.file.is_some());
                    read.data.extend_from_slice(&data);
                }
            }
            Ok(())
        })?;
    }
    parser.finish()?;
    Ok(read)
}

fn field(name: &str, value: &[u8]) -> Vec<u8> {
    let head = format!("--b-b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
    [head.as_bytes(), value, b"\r\n"].concat()
}

fn file(name: &str, data: &[u8]) -> Vec<u8> {
    let head = format!(
        "--b-b\r\nContent-Disposition: form-data; name=\"File\"; filename=\"{name}\"\r\n\
         Content-Type: text/plain\r\n\r\n"
    );
    [head.as_bytes(), data, b"\r\n"].concat()
}

const END: &[u8] = b"--b-b--\r\n";

#[test]
fn fields_and_the_file_are_read() {
    let form = [
        field("Key", b"k"),
        field("empty", b""),
        field("lines", b"a\r\nb\r\n--b"),
        file("C:\\dir\\x.txt", b"data\r\n--b-\r\n\r"),
        field("behind", b"ignored"),
        field("key", b"ignored"),
        END.to_vec(),
    ]
    .concat();
    let read = read([form.as_slice()]).unwrap();
    let names: Vec<_> = read.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Key", "empty", "lines"]);
    assert_eq!(read.fields[2].1, b"a\r\nb\r\n--b");
    assert_eq!(read.data, b"data\r\n--b-\r\n\r");
    let part = read.file.unwrap();
    assert_eq!((&*part.name, part.len), ("x.txt", None));
    let at = memmem::find(&form, b"data\r\n").unwrap();
    assert_eq!(part.offset, at as u64);
}

#[test]
fn the_length_of_the_file_follows_from_that_of_the_form() {
    for data in [&b""[..], b"x", b"\r\n", b"\r\n--b-b"] {
        if data.len() > 3 {
            continue;
        }
        let form = [field("key", b"k"), file("f", data), END.to_vec()].concat();
        let offset = read([form.as_slice()]).unwrap().file.unwrap().offset;
        let closing = boundary("b-b").unwrap().closing_len();
        assert_eq!(form.len() as u64 - offset - closing, data.len() as u64);
    }
}

#[test]
fn other_spellings_of_the_same_form_are_read() {
    let disposition = "content-disposition:form-data;name=file";
    for form in [
        format!("--b-b\r\n{disposition}\r\n\r\nx\r\n--b-b--"),
        format!("\r\n--b-b  \r\n{disposition}\r\n\r\nx\r\n--b-b--\r\nepilogue"),
        format!("preamble\r\n--b-b\r\n{disposition}\r\ncontent-length: 1\r\n\r\nx\r\n--b-b--\r\n"),
    ] {
        assert_eq!(read([form.as_bytes()]).unwrap().data, b"x", "{form}");
    }
}

#[test]
fn a_second_file_is_not_lost_unsaid() {
    for between in [b"".to_vec(), field("behind", b"x")] {
        let form = [file("f", b"x"), between, file("g", b"y"), END.to_vec()].concat();
        assert_eq!(read([form.as_slice()]), Err(FormError::Files));
    }
}

#[test]
fn what_is_no_form_is_malformed() {
    let disposition = "Content-Disposition: form-data; name=\"key\"";
    for form in [
        "",
        "no form",
        "--b-b",
        "--b-b\r\n",
        "--b-bx\r\n",
        "--b-b\r\n\r\nvalue\r\n--b-b--",
        "--b-b\r\nContent-Type: text/plain\r\n\r\nvalue\r\n--b-b--",
        "--b-b\r\nno header\r\n\r\nvalue\r\n--b-b--",
        "--b-b-\r\n",
        &format!("--b-b\r\n{disposition}\r\n{disposition}\r\n\r\nvalue\r\n--b-b--"),
        &format!("--b-b\r\n{disposition}\r\n\r\nvalue"),
        &format!("--b-b\r\n{disposition}\r\n\r\nvalue\r\n--b-b"),
        &format!("--b-b\r\n{disposition}\r\n\r\nvalue\r\n--b-b\r\n"),
        &format!("--b-b\r\n{disposition}\r\n\r\nvalue\r\n--b-bb--"),
        &format!("--b-b\n{disposition}\n\nvalue\n--b-b--"),
        &format!("--b-b\r\n{disposition}\r\nContent-Length: x\r\n\r\nvalue\r\n--b-b--"),
    ] {
        let read = read([form.as_bytes()]);
        assert!(matches!(read, Err(FormError::Malformed(_))), "{form:?}");
    }
}

#[test]
fn everything_but_the_file_is_limited() {
    let of_len = |len: usize| {
        let rest = field("a", b"").len() + file("f", b"").len() + END.len();
        let value = vec![b'v'; len - rest];
        [
            field("a", &value),
            file("f", &vec![b'x'; 50_000]),
            END.to_vec(),
        ]
        .concat()
    };
    // The delimiter right behind the file is not counted.
    let uncounted = "\r\n--b-b".len();
    assert!(read([of_len(FORM_LEN_MAX + uncounted).as_slice()]).is_ok());
    assert_eq!(
        read([of_len(FORM_LEN_MAX + uncounted + 1).as_slice()]),
        Err(FormError::TooLong)
    );
    for endless in [
        vec![b'x'; FORM_LEN_MAX + 1],
        [b"--b-b\r\nA: ".as_slice(), &vec![b'x'; FORM_LEN_MAX]].concat(),
        [file("f", b"x"), END.to_vec(), vec![b'x'; FORM_LEN_MAX]].concat(),
        [file("f", b"x"), field("a", &vec![b'x'; FORM_LEN_MAX])].concat(),
        [
            file("f", b"x"),
            b"--b-b\r\nA: ".to_vec(),
            vec![b'x'; FORM_LEN_MAX],
        ]
        .concat(),
    ] {
        assert_eq!(read([endless.as_slice()]), Err(FormError::TooLong));
    }
}

#[test]
fn boundaries_are_read_as_clients_write_them() {
    for (text, len) in [
        ("b", 1),
        ("\"b b\"", 3),
        ("----WebKitFormBoundary7MA4YWxkTrZu0gW", 37),
        (&"x".repeat(70), 70),
        ("b; charset=utf-8", 1),
    ] {
        let read = boundary(text).unwrap();
        assert_eq!(read.closing_len(), len + 4 + 4, "{text}");
    }
    for text in [
        "",
        "\"\"",
        "b\"",
        "a; boundary=b",
        "\"b \"",
        &"x".repeat(71),
    ] {
        assert!(boundary(text).is_err(), "{text}");
    }
    assert!(Boundary::parse(&HeaderMap::new()).is_err());
}

/// Pieces of forms, so that most of what is tried is nearly one.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(field("key", b"value")),
        Just(field("other", b"\r\n--b-\r\r\n--b-")),
        Just(file("f", b"\r\r\n--b-\r\n--b-x")),
        Just(END.to_vec()),
        Just(b"\r\n--b-b".to_vec()),
        proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'b')],
            0..20
        ),
        proptest::collection::vec(any::<u8>(), 0..60),
        Just(vec![b'x'; 7000]),
    ]
}

proptest! {
    #[test]
    fn any_split_is_read_the_same(
        pieces in proptest::collection::vec(piece(), 0..8),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
    ) {
        let form = pieces.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(form.len() + 1)).collect();
        cuts.extend([0, form.len()]);
        cuts.sort_unstable();
        let split = cuts.windows(2).map(|cut| &form[cut[0]..cut[1]]);
        prop_assert_eq!(read(split), read([form.as_slice()]));
        prop_assert_eq!(read(form.chunks(1)), read([form.as_slice()]));
    }

    #[test]
    fn what_is_in_a_file_comes_out_of_it(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assume!(memmem::find(&data, b"\r\n--b-b").is_none());
        let form = [field("key", b"k"), file("f", &data), END.to_vec()].concat();
        prop_assert_eq!(read(form.chunks(7)).unwrap().data, data);
    }
}
