//! Laws of the envelope; the frozen vectors are in `format::tests`.

use proptest::prelude::*;

use super::*;

fn provider() -> impl Strategy<Value = ProviderKind> {
    (1_u8..=5).prop_map(|byte| ProviderKind::from_byte(byte).unwrap())
}

/// Any head, legal or not; about half are legal.
fn head() -> impl Strategy<Value = Result<EnvelopeHead, EnvelopeError>> {
    let context = prop::collection::btree_map("[a-z]{1,6}", ".{0,8}", 0..4)
        .prop_map(|pairs| ClientContext::from_pairs(pairs).unwrap());
    (
        provider(),
        ".{0,12}",
        any::<u32>(),
        any::<bool>(),
        1_u8..=3,
        0_u8..=2,
        context,
    )
        .prop_map(
            |(provider, id, version, bucket_key, mode, binding, context)| {
                let customer = provider == ProviderKind::Customer;
                let wrap = if bucket_key {
                    WrapKind::BucketKey
                } else {
                    WrapKind::Direct
                };
                let key = KeyRef {
                    provider,
                    id: if customer { String::new() } else { id },
                    version: if customer { 0 } else { version },
                };
                let mode = Mode::from_byte(mode).unwrap();
                EnvelopeHead::new(
                    key,
                    wrap,
                    mode,
                    Binding::from_byte(binding).unwrap(),
                    context,
                )
            },
        )
}

fn envelope() -> impl Strategy<Value = KeyEnvelope> {
    let bytes = prop::collection::vec(any::<u8>(), 1..200);
    let legal = head().prop_filter_map("legal heads", Result::ok);
    (legal, any::<[u8; 16]>(), bytes, any::<[u8; 80]>()).prop_map(|(head, id, blob, key)| {
        let wrapped = match head.wrap() {
            WrapKind::Direct => Wrapped::Direct(WrappedDataKey(blob)),
            WrapKind::BucketKey => Wrapped::BucketKey {
                id,
                wrapped_bucket_key: blob,
                wrapped: WrappedDataKey(key.to_vec()),
            },
        };
        KeyEnvelope::new(head, wrapped).unwrap()
    })
}

fn local_head(binding: Binding) -> EnvelopeHead {
    let key = KeyRef {
        provider: ProviderKind::Local,
        id: "default".to_owned(),
        version: 3,
    };
    let context = ClientContext::default();
    EnvelopeHead::new(key, WrapKind::Direct, Mode::NamedKey, binding, context).unwrap()
}

#[test]
fn the_context_names_what_the_binding_says() {
    let header = HeaderPrefix::single([7; 32]);
    let context = |binding| {
        local_head(binding)
            .context(&header, "photos", "a/b")
            .unwrap()
    };
    let unbound = context(Binding::None);
    assert_eq!((unbound.bucket, unbound.object_key), (None, None));
    assert!(unbound.bytes.ends_with(&[0, 0, 0, 0]));
    let key = context(Binding::Key);
    assert!(key.bytes.ends_with(b"\0\0\0\x03a/b"));
    assert_eq!(key.bucket, None);
    let both = context(Binding::BucketAndKey);
    assert!(both.bytes.ends_with(b"\0\x06photos\0\x03a/b"));
    assert_eq!(both.bucket.as_deref(), Some("photos"));
}

#[test]
fn names_that_no_field_holds_are_refused() {
    let header = HeaderPrefix::single([7; 32]);
    let long = "k".repeat(65_536);
    let head = local_head(Binding::BucketAndKey);
    assert_eq!(
        head.context(&header, "b", &long),
        Err(EnvelopeError::TooLong)
    );
    assert_eq!(
        head.context(&header, &long, "k"),
        Err(EnvelopeError::TooLong)
    );
}

#[test]
fn a_wrap_of_the_other_kind_or_without_a_key_is_refused() {
    let bucket_key = Wrapped::BucketKey {
        id: [0; 16],
        wrapped_bucket_key: Vec::new(),
        wrapped: WrappedDataKey(vec![0; 80]),
    };
    for wrapped in [bucket_key, Wrapped::Direct(WrappedDataKey(Vec::new()))] {
        let result = KeyEnvelope::new(local_head(Binding::None), wrapped);
        assert_eq!(result, Err(EnvelopeError::Malformed));
    }
}

#[test]
fn a_customer_key_has_no_name() {
    let customer = |id: &str, version, wrap, mode| {
        let key = KeyRef {
            provider: ProviderKind::Customer,
            id: id.to_owned(),
            version,
        };
        EnvelopeHead::new(key, wrap, mode, Binding::None, ClientContext::default())
    };
    assert!(customer("", 0, WrapKind::Direct, Mode::CustomerKey).is_ok());
    for illegal in [
        customer("k", 0, WrapKind::Direct, Mode::CustomerKey),
        customer("", 1, WrapKind::Direct, Mode::CustomerKey),
        customer("", 0, WrapKind::BucketKey, Mode::CustomerKey),
        customer("", 0, WrapKind::Direct, Mode::NamedKey),
    ] {
        assert_eq!(illegal, Err(EnvelopeError::Combination));
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(envelope in envelope()) {
        prop_assert_eq!(KeyEnvelope::parse(envelope.encode()), Ok(envelope));
    }

    #[test]
    fn a_cut_or_longer_envelope_is_refused(envelope in envelope(), cut: prop::sample::Index) {
        let bytes = envelope.encode();
        prop_assert!(KeyEnvelope::parse(&bytes[..cut.index(bytes.len())]).is_err());
        prop_assert!(KeyEnvelope::parse(&[bytes, &[0]].concat()).is_err());
    }

    #[test]
    fn what_reads_is_written_the_same(
        envelope in envelope(), at: prop::sample::Index, byte: u8, random: Vec<u8>,
    ) {
        let mut changed = envelope.encode().to_vec();
        let at = at.index(changed.len());
        changed[at] = byte;
        for bytes in [changed, random] {
            if let Ok(read) = KeyEnvelope::parse(&bytes) {
                prop_assert_eq!(read.encode(), bytes);
            }
        }
    }
}
