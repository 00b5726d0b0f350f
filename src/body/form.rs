//! A form on its way in: first its fields, then the bytes of its file, whose end is that of the
//! whole form.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};

use super::BodyError;
use super::idle::Received;
use crate::s3::form::fields::FormFields;
use crate::s3::form::{Boundary, Event, FilePart, FormError, FormParser};

/// The file of a form. It ends well only if the form does, and the request with it.
pub struct FormFile<B = Received> {
    source: B,
    parser: FormParser,
    ready: VecDeque<Bytes>,
    /// Bytes that it must still have.
    left: Option<u64>,
    is_done: bool,
}

/// Everything before the file.
pub struct FormHead<B = Received> {
    /// As sent.
    pub fields: FormFields,
    /// What the form says of the file.
    pub part: FilePart,
    /// The rest.
    pub file: FormFile<B>,
}

impl<B> FormHead<B>
where
    B: HttpBody<Data = Bytes, Error = BodyError> + Send + Unpin,
{
    /// Reads up to the file.
    pub async fn read(source: B, boundary: &Boundary) -> Result<Self, BodyError> {
        let mut file = FormFile {
            source,
            parser: FormParser::new(boundary),
            ready: VecDeque::new(),
            left: None,
            is_done: false,
        };
        let mut fields = FormFields::default();
        loop {
            let mut part = None;
            let mut sink = |event| match event {
                Event::Field { name, value } => fields.insert(&name, value),
                Event::File(found) => {
                    part = Some(found);
                    Ok(())
                }
                Event::Data(_) => Ok(()),
            };
            let is_over = poll_fn(|cx| file.poll_source(cx, &mut sink)).await?;
            match part {
                Some(part) => return Ok(Self { fields, part, file }),
                None if is_over => return Err(FormError::NoFile.into()),
                None => {}
            }
        }
    }
}

impl<B> FormFile<B>
where
    B: HttpBody<Data = Bytes, Error = BodyError> + Send + Unpin,
{
    /// Makes any other length an error.
    pub fn expect_len(&mut self, len: u64) {
        self.left = Some(len);
    }

    /// Takes one frame of the source; whether that was the end of it.
    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut impl FnMut(Event) -> Result<(), FormError>,
    ) -> Poll<Result<bool, BodyError>> {
        let Some(frame) = ready!(Pin::new(&mut self.source).poll_frame(cx)) else {
            self.parser.finish()?;
            return Poll::Ready(Ok(true));
        };
        if let Ok(wire) = frame?.into_data() {
            let ready = &mut self.ready;
            self.parser.push(wire, &mut |event| match event {
                Event::Data(data) => {
                    ready.push_back(data);
                    Ok(())
                }
                event @ (Event::Field { .. } | Event::File(_)) => sink(event),
            })?;
        }
        Poll::Ready(Ok(false))
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                if let Some(left) = &mut self.left {
                    let rest = left.checked_sub(data.len() as u64);
                    *left = rest.ok_or(FormError::FileLength)?;
                }
                return Poll::Ready(Ok(Some(data)));
            }
            if ready!(self.poll_source(cx, &mut |_behind_the_file| Ok(())))? {
                return Poll::Ready(match self.left {
                    None | Some(0) => Ok(None),
                    Some(_) => Err(FormError::FileLength.into()),
                });
            }
        }
    }
}

impl<B> HttpBody for FormFile<B>
where
    B: HttpBody<Data = Bytes, Error = BodyError> + Send + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        let polled = ready!(self.poll_data(cx));
        self.is_done = !matches!(polled, Ok(Some(_)));
        Poll::Ready(polled.transpose().map(|data| data.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::body::{Body, collect};

    fn boundary() -> Boundary {
        let value = HeaderValue::from_static("multipart/form-data; boundary=b");
        Boundary::parse(&HeaderMap::from_iter([(CONTENT_TYPE, value)])).unwrap()
    }

    async fn read(form: &str) -> Result<FormHead<Body>, BodyError> {
        let pieces = form.as_bytes().chunks(5).map(Bytes::copy_from_slice);
        FormHead::read(Body::chunks(pieces.collect()), &boundary()).await
    }

    const KEY: &str = "--b\r\nContent-Disposition: form-data; name=key\r\n\r\nk\r\n";
    const FILE: &str = "--b\r\nContent-Disposition: form-data; name=file\r\n\r\n0123456789\r\n";

    #[tokio::test]
    async fn the_file_follows_its_fields() {
        for rest in [
            "--b--\r\n",
            "--b--",
            "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--b--\r\n",
        ] {
            let mut head = read(&format!("{KEY}{FILE}{rest}")).await.unwrap();
            assert_eq!(head.fields.get("key"), Some("k"));
            head.file.expect_len(10);
            assert_eq!(collect(head.file, 10).await.unwrap(), "0123456789");
        }
    }

    #[tokio::test]
    async fn a_file_of_another_length_has_no_end() {
        for len in [0, 9, 11] {
            let mut head = read(&format!("{KEY}{FILE}--b--\r\n")).await.unwrap();
            head.file.expect_len(len);
            let read = collect(head.file, 100).await;
            let expected = matches!(read, Err(BodyError::Form(FormError::FileLength)));
            assert!(expected, "{len}: {read:?}");
        }
        let cut = read(&format!("{KEY}{FILE}--b")).await.unwrap();
        let read = collect(cut.file, 100).await;
        assert!(matches!(
            read,
            Err(BodyError::Form(FormError::Malformed(_)))
        ));
    }

    #[tokio::test]
    async fn a_form_without_a_file_is_refused() {
        let refused = read(&format!("{KEY}--b--")).await.err().unwrap();
        assert!(matches!(refused, BodyError::Form(FormError::NoFile)));
        let refused = read(KEY).await.err().unwrap();
        assert!(matches!(refused, BodyError::Form(FormError::Malformed(_))));
    }
}
