//! Reads and writes the fields of fixed and length-prefixed records; big endian, nothing implied.

/// The unread rest of a record. A read beyond its end is `None`, and leaves it as it was.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn be16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn be32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn be64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// `be16 n || n bytes`
    pub(super) fn field(&mut self) -> Option<&'a [u8]> {
        let mut after = *self;
        let length = after.be16()?;
        let field = after.take(length.into())?;
        *self = after;
        Some(field)
    }
}

/// Writes `be16 n || bytes`; `None` if they are too many for a field.
pub(super) fn put_field(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let length = u16::try_from(bytes.len()).ok()?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_too_short_is_left_unread() {
        let mut cursor = Cursor::new(&[0, 3, 1, 2]);
        assert_eq!(cursor.field(), None);
        assert_eq!(cursor.be16(), Some(3));
        assert_eq!(cursor.take(3), None);
        assert_eq!(cursor.rest(), [1, 2]);
    }

    #[test]
    fn fields_hold_up_to_65535_bytes() {
        let mut out = Vec::new();
        let longest = vec![7; 65_535];
        assert_eq!(put_field(&mut out, &longest), Some(()));
        assert_eq!(Cursor::new(&out).field(), Some(longest.as_slice()));
        assert_eq!(put_field(&mut out, &[longest, vec![7]].concat()), None);
    }
}
