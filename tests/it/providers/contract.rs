//! What every key provider has to do: one suite, run against each of them.

use std::sync::Arc;

use s3seal::keys::types::{DataKey, KeyRef, WrapContext, WrappedDataKey};
use s3seal::keys::{KeyError, KeyProvider, Outage};

/// A provider with one key, and what its operator can do to it.
///
/// What a kind of provider cannot do at all it leaves out by its constants: the suite then leaves
/// out the promise, and nothing else.
pub trait Subject: Send + Sync + Sized {
    /// What rotating does.
    const ROTATION: Rotation;
    /// The answer of a key that was switched off; `None` where keys cannot be.
    const DISABLED: Option<KeyError>;
    /// The answer for a version that was retired; `None` where versions cannot be.
    const RETIRED: Option<KeyError>;
    /// The answer for a version, or a whole key, that was destroyed.
    const DESTROYED: Option<KeyError>;
    /// What a wrap of another key gets besides what it should, where the server is a stand-in
    /// that answers otherwise than the real one.
    const FOREIGN: Option<KeyError> = None;

    /// Whether two wraps of one data key for one context differ, as nonces make them.
    const WRAPS_DIFFER: bool = true;

    /// A fresh one, which shares nothing with others.
    fn start() -> impl Future<Output = Self> + Send;
    fn provider(&self) -> Arc<dyn KeyProvider>;
    /// The canonical id of the key.
    fn id(&self) -> String;
    /// Other names of the key.
    fn aliases(&self) -> Vec<String>;
    /// Material that no text may show, in the forms in which it could be shown.
    fn secrets(&self) -> Vec<Vec<u8>>;

    fn rotate(&self) -> impl Future<Output = ()> + Send {
        async { unreachable!("cannot rotate") }
    }
    fn disable(&self) -> impl Future<Output = ()> + Send {
        async { unreachable!("cannot disable") }
    }
    fn enable(&self) -> impl Future<Output = ()> + Send {
        async { unreachable!("cannot enable") }
    }
    /// Retires what was there before the last rotation.
    fn retire_old(&self) -> impl Future<Output = ()> + Send {
        async { unreachable!("cannot retire") }
    }
    /// Destroys what was there before the last rotation, or the key where it does not rotate.
    fn destroy_old(&self) -> impl Future<Output = ()> + Send {
        async { unreachable!("cannot destroy") }
    }
}

/// What rotating does to the key that a provider names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The name has a higher version, and wraps are bound to theirs.
    Versions,
    /// Nothing that is seen: the provider finds the version in the wrap.
    Inside,
    /// It does not rotate: another key takes over.
    Never,
}

/// Runs every promise, each on a fresh subject.
pub async fn run<S: Subject>() {
    names_resolve(&S::start().await).await;
    round_trip(&S::start().await).await;
    wrong_context(&S::start().await).await;
    another_key(&S::start().await, &S::start().await).await;
    tampered_blob(&S::start().await).await;
    rewrap_keeps_the_data_key(&S::start().await).await;
    nothing_secret_is_shown(&S::start().await).await;
    if let Some(refusal) = S::DISABLED {
        disabled_key(&S::start().await, refusal).await;
    }
    if S::ROTATION != Rotation::Never {
        old_wraps_open_after_rotate(&S::start().await).await;
        rewrap_moves_to_the_new_version(&S::start().await).await;
    }
    if let Some(refusal) = S::RETIRED {
        retired_version_is_refused(&S::start().await, refusal).await;
    }
    if let Some(refusal) = S::DESTROYED {
        destroyed_is_refused(&S::start().await, refusal).await;
    }
}

/// A context of an object of this name.
pub fn context(text: &str) -> WrapContext {
    WrapContext {
        bytes: text.as_bytes().to_vec(),
        client: vec![("tenant".to_owned(), text.to_owned())],
        bucket: Some("photos".to_owned()),
        object_key: Some(text.to_owned()),
    }
}

async fn described<S: Subject>(subject: &S) -> (Arc<dyn KeyProvider>, KeyRef) {
    let provider = subject.provider();
    let key = provider.describe(&subject.id()).await.unwrap();
    (provider, key)
}

async fn names_resolve<S: Subject>(subject: &S) {
    let (provider, key) = described(subject).await;
    for alias in subject.aliases() {
        assert_eq!(
            provider.describe(&alias).await.as_ref(),
            Ok(&key),
            "{alias}"
        );
    }
    assert_eq!((key.provider, key.id), (provider.kind(), subject.id()));
    assert_eq!(key.version == 0, S::ROTATION != Rotation::Versions);
    assert_eq!(provider.describe("nobody").await, Err(KeyError::NotFound));
    provider.probe().await.unwrap();
}

async fn round_trip<S: Subject>(subject: &S) {
    let (provider, key) = described(subject).await;
    let a = context("a");
    let fresh = provider.generate(&key, &a).await.unwrap();
    let opened = provider.unwrap(&key, &fresh.wrapped, &a).await.unwrap();
    assert_eq!(opened.expose(), fresh.data_key.expose());

    let again = provider.generate(&key, &a).await.unwrap();
    assert_ne!(again.data_key.expose(), fresh.data_key.expose());

    let own = DataKey::new([7; 32]);
    let wrapped = provider.wrap(&key, &own, &a).await.unwrap();
    let opened = provider.unwrap(&key, &wrapped, &a).await.unwrap();
    assert_eq!(opened.expose(), own.expose());
}

async fn wrong_context<S: Subject>(subject: &S) {
    let (provider, key) = described(subject).await;
    let a = context("a");
    let fresh = provider.generate(&key, &a).await.unwrap();
    let mut others = vec![context("b")];
    // the bytes alone decide: whatever else is handed over is derived from them
    others.push(WrapContext {
        bytes: b"b".to_vec(),
        ..a.clone()
    });
    others.push(WrapContext {
        bytes: Vec::new(),
        ..a.clone()
    });
    for other in others {
        let refused = provider.unwrap(&key, &fresh.wrapped, &other).await;
        assert_eq!(refused.unwrap_err(), KeyError::ContextMismatch, "{other:?}");
    }
}

/// A wrap opens under its own key only, whatever key the caller names.
async fn another_key<S: Subject>(subject: &S, other: &S) {
    let (provider, key) = described(subject).await;
    let (elsewhere, other_key) = described(other).await;
    let a = context("a");
    let foreign = elsewhere.generate(&other_key, &a).await.unwrap();
    let refused = provider.unwrap(&key, &foreign.wrapped, &a).await;
    assert!(is_integrity::<S, _>(&refused), "{refused:?}");
    for (field, named) in [
        (
            "id",
            KeyRef {
                id: "nobody".to_owned(),
                ..key.clone()
            },
        ),
        (
            "version",
            KeyRef {
                version: 4711,
                ..key.clone()
            },
        ),
    ] {
        let own = provider.generate(&key, &a).await.unwrap();
        let refused = provider.unwrap(&named, &own.wrapped, &a).await;
        assert_eq!(refused.unwrap_err(), KeyError::NotFound, "{field}");
    }
}

async fn tampered_blob<S: Subject>(subject: &S) {
    let (provider, key) = described(subject).await;
    let fresh = provider.generate(&key, &context("a")).await.unwrap();
    let WrappedDataKey(good) = fresh.wrapped;
    let flipped = (0..good.len()).map(|at| {
        let mut blob = good.clone();
        blob[at] ^= 1;
        blob
    });
    let cut = (0..good.len()).map(|len| good[..len].to_vec());
    let extended = [[good.as_slice(), &[0]].concat()];
    for blob in flipped.chain(cut).chain(extended) {
        let refused = provider
            .unwrap(&key, &WrappedDataKey(blob.clone()), &context("a"))
            .await;
        assert!(is_integrity::<S, _>(&refused), "{refused:?}: {blob:?}");
    }
}

fn is_integrity<S: Subject, T>(outcome: &Result<T, KeyError>) -> bool {
    let refusal = outcome.as_ref().err().copied();
    let known = [KeyError::ContextMismatch, KeyError::Malformed];
    refusal.is_some_and(|refusal| known.contains(&refusal) || S::FOREIGN == Some(refusal))
}

async fn disabled_key<S: Subject>(subject: &S, refusal: KeyError) {
    let (provider, key) = described(subject).await;
    let a = context("a");
    let fresh = provider.generate(&key, &a).await.unwrap();
    subject.disable().await;
    let refused = provider.generate(&key, &a).await;
    assert_eq!(refused.unwrap_err(), refusal);
    let refused = provider.wrap(&key, &DataKey::new([7; 32]), &a).await;
    assert_eq!(refused.unwrap_err(), refusal);
    let refused = provider.unwrap(&key, &fresh.wrapped, &a).await;
    assert_eq!(refused.unwrap_err(), refusal);
    subject.enable().await;
    let opened = provider.unwrap(&key, &fresh.wrapped, &a).await.unwrap();
    assert_eq!(opened.expose(), fresh.data_key.expose());
}

async fn old_wraps_open_after_rotate<S: Subject>(subject: &S) {
    let (provider, old) = described(subject).await;
    let a = context("a");
    let fresh = provider.generate(&old, &a).await.unwrap();
    subject.rotate().await;
    let new = provider.describe(&subject.id()).await.unwrap();
    let opened = provider.unwrap(&old, &fresh.wrapped, &a).await.unwrap();
    assert_eq!(opened.expose(), fresh.data_key.expose());
    if S::ROTATION == Rotation::Versions {
        assert!(new.version > old.version);
        assert!(provider.unwrap(&new, &fresh.wrapped, &a).await.is_err());
        let late = provider.generate(&old, &a).await.unwrap_err();
        assert_eq!(late, KeyError::Unavailable(Outage::Superseded));
    } else {
        assert_eq!(new, old);
    }
}

async fn rewrap_keeps_the_data_key<S: Subject>(subject: &S) {
    let (provider, key) = described(subject).await;
    let (a, b) = (context("a"), context("b"));
    let fresh = provider.generate(&key, &a).await.unwrap();
    for (from, to) in [(&a, &a), (&a, &b)] {
        let moved = provider
            .rewrap((&key, from), &fresh.wrapped, (&key, to))
            .await
            .unwrap();
        if S::WRAPS_DIFFER || from.bytes != to.bytes {
            assert_ne!(moved, fresh.wrapped);
        }
        let opened = provider.unwrap(&key, &moved, to).await.unwrap();
        assert_eq!(opened.expose(), fresh.data_key.expose());
    }
    let moved = provider
        .rewrap((&key, &a), &fresh.wrapped, (&key, &b))
        .await;
    assert!(provider.unwrap(&key, &moved.unwrap(), &a).await.is_err());
    for to in [&a, &b] {
        let wrong = provider
            .rewrap((&key, &b), &fresh.wrapped, (&key, to))
            .await;
        assert_eq!(wrong, Err(KeyError::ContextMismatch));
    }
}

async fn rewrap_moves_to_the_new_version<S: Subject>(subject: &S) {
    let (provider, old) = described(subject).await;
    let a = context("a");
    let fresh = provider.generate(&old, &a).await.unwrap();
    subject.rotate().await;
    let new = provider.describe(&subject.id()).await.unwrap();
    let moved = provider
        .rewrap((&old, &a), &fresh.wrapped, (&new, &a))
        .await
        .unwrap();
    let opened = provider.unwrap(&new, &moved, &a).await.unwrap();
    assert_eq!(opened.expose(), fresh.data_key.expose());
    if S::RETIRED.is_some() {
        subject.retire_old().await;
        let opened = provider.unwrap(&new, &moved, &a).await.unwrap();
        assert_eq!(opened.expose(), fresh.data_key.expose());
    }
}

async fn retired_version_is_refused<S: Subject>(subject: &S, refusal: KeyError) {
    let (provider, old) = described(subject).await;
    let a = context("a");
    let fresh = provider.generate(&old, &a).await.unwrap();
    subject.rotate().await;
    subject.retire_old().await;
    let refused = provider.unwrap(&old, &fresh.wrapped, &a).await;
    assert_eq!(refused.unwrap_err(), refusal);
    let new = provider.describe(&subject.id()).await.unwrap();
    provider.generate(&new, &a).await.unwrap();
}

async fn destroyed_is_refused<S: Subject>(subject: &S, refusal: KeyError) {
    let (provider, old) = described(subject).await;
    let fresh = provider.generate(&old, &context("a")).await.unwrap();
    if S::ROTATION == Rotation::Versions {
        subject.rotate().await;
    }
    subject.destroy_old().await;
    let refused = provider.unwrap(&old, &fresh.wrapped, &context("a")).await;
    assert_eq!(refused.unwrap_err(), refusal);
}

async fn nothing_secret_is_shown<S: Subject>(subject: &S) {
    let (provider, key) = described(subject).await;
    let fresh = provider.generate(&key, &context("a")).await.unwrap();
    let mismatch = provider
        .unwrap(&key, &fresh.wrapped, &context("b"))
        .await
        .unwrap_err();
    let mut texts = vec![format!("{:?} {:?}", fresh.data_key, key)];
    for error in [mismatch, KeyError::Malformed, Outage::Unreachable.into()] {
        texts.push(format!(
            "{error} {error:?} {:?}",
            std::error::Error::source(&error)
        ));
    }
    let mut secrets = subject.secrets();
    secrets.extend(shown_forms(fresh.data_key.expose()));
    for text in texts {
        for secret in &secrets {
            let mut windows = text.as_bytes().windows(secret.len());
            assert!(!windows.any(|window| window == secret), "{text}");
        }
    }
}

/// A secret as text would show it: raw, hex, base64 and as `Debug` prints bytes.
pub fn shown_forms(secret: &[u8]) -> Vec<Vec<u8>> {
    vec![
        secret.to_vec(),
        data_encoding::HEXLOWER.encode(secret).into_bytes(),
        data_encoding::BASE64.encode(secret).into_bytes(),
        data_encoding::BASE64URL_NOPAD.encode(secret).into_bytes(),
        format!("{secret:?}").into_bytes(),
    ]
}
