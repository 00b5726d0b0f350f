//! Random bytes of the operating system: for every key, salt and object id.

use thiserror::Error;
use zeroize::Zeroizing;

/// The operating system gave no random bytes. Nothing may be sealed then.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("no entropy from the operating system")]
pub struct EntropyError;

/// `N` fresh random bytes, wiped when dropped.
pub fn random_bytes<const N: usize>() -> Result<Zeroizing<[u8; N]>, EntropyError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| EntropyError)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        let (a, b) = (random_bytes::<32>().unwrap(), random_bytes::<32>().unwrap());
        assert_ne!(*a, *b);
        assert_ne!(*a, [0; 32]);
    }
}
