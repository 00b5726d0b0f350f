//! An unwrapped data key as it is cached: with the content key that was derived from it.

use std::sync::{Arc, OnceLock};

use crate::format::{ContentHeader, ContentKey, HeaderError};
use crate::keys::types::DataKey;

/// A data key that a provider unwrapped. Both keys are wiped by the last drop.
#[derive(Debug)]
pub struct UnwrappedKey {
    data_key: DataKey,
    proven: OnceLock<(ContentHeader, Arc<ContentKey>)>,
}

impl UnwrappedKey {
    /// Takes over a data key that came out of its wrap; nothing is proven yet.
    pub fn new(data_key: DataKey) -> Self {
        Self {
            data_key,
            proven: OnceLock::new(),
        }
    }

    /// The data key itself.
    pub fn data_key(&self) -> &DataKey {
        &self.data_key
    }

    /// The content key, if `header` commits to this data key: derived and checked once for each
    /// header, which in a cache is once.
    pub fn content_key(&self, header: &ContentHeader) -> Result<Arc<ContentKey>, HeaderError> {
        if let Some((proven, key)) = self.proven.get()
            && proven == header
        {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(header.verify(&self.data_key)?);
        // Another request may have been faster: then its key, the same one, is kept.
        let _ = self.proven.set((*header, Arc::clone(&key)));
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::HeaderPrefix;

    #[test]
    fn a_key_proven_for_one_header_proves_nothing_for_another() {
        let header = |id, key| {
            let prefix = HeaderPrefix::single([id; 32]);
            ContentHeader::new(prefix, &DataKey::new([key; 32])).0
        };
        let unwrapped = UnwrappedKey::new(DataKey::new([1; 32]));
        let first = unwrapped.content_key(&header(7, 1)).unwrap();
        let again = unwrapped.content_key(&header(7, 1)).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let other = unwrapped.content_key(&header(8, 1)).unwrap();
        assert_eq!(other.prefix().object_id(), &[8; 32]);
        for forged in [header(7, 2), header(8, 2)] {
            let refused = unwrapped.content_key(&forged).unwrap_err();
            assert_eq!(refused, HeaderError::Commitment);
        }
    }
}
