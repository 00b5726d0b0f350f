//! Under which key a new object is sealed: what the client asks, within what the rule allows.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::context::{Cx, S3Request};
use super::incoming::insert_text;
use super::policy::ResolvedRule;
use super::s3ec;
use crate::config::rules::{Encryption, Rule};
use crate::error::Error;
use crate::format::{
    ClientContext, ContentHeader, Ending, EnvelopeHead, FreshContentKey, HeaderPrefix, KeyEnvelope,
    Layout, Metadata, WrapKind, Wrapped,
};
use crate::keys::entropy::random_bytes;
use crate::keys::policy::KeyId;
use crate::keys::service::CurrentWrap;
use crate::keys::types::{DataKey, KeyRef, Mode, ProviderKind, WrapContext};
use crate::keys::{KeyError, customer};
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::headers::{
    self, HeaderError, METADATA_LEN_MAX, SSE_CUSTOMER_ALGORITHM, SSE_CUSTOMER_KEY_MD5,
};
use crate::s3::sse::{self, CustomerKey, SseRequest};

/// How a new object is stored.
pub enum Plan {
    /// As it is, because the rule says `encryption = "off"`.
    Plain,
    /// Sealed.
    Sealed(SealPlan),
}

/// The key-encryption key and everything else an envelope says.
pub struct SealPlan {
    kek: Kek,
    wrap: WrapKind,
    mode: Mode,
    client_context: ClientContext,
}

/// What wraps the data key.
enum Kek {
    /// A configured key.
    Configured(KeyRef),
    /// The one in the request.
    Customer(CustomerKey),
}

/// What an object is stored with, and the key that seals its body.
pub struct Sealing {
    /// The two metadata values.
    pub metadata: Metadata,
    /// Used for this body and never again.
    pub content_key: FreshContentKey,
}

/// Refuses encryption headers that a read cannot have, and a customer key that is none.
pub fn check_read(request: &S3Request) -> Result<(), Error> {
    sse::refuse_on_read(&request.headers)?;
    request.customer_key()?;
    Ok(())
}

/// Decides before a byte of the body is read; a provider is asked only for what may be used.
pub async fn plan(cx: &Cx, request: &S3Request, rule: &ResolvedRule) -> Result<Plan, Error> {
    s3ec::check_write(request, rule)?;
    let asked = SseRequest::parse(&request.headers)?;
    let (mode, name, context, bucket_key) = match asked {
        SseRequest::None => match own_mode(rule)? {
            None => return Ok(Plan::Plain),
            Some(mode) => (mode, None, None, None),
        },
        SseRequest::Managed => (Mode::Managed, None, None, None),
        SseRequest::Named {
            key_id,
            context,
            bucket_key,
        } => (Mode::NamedKey, key_id, context, bucket_key),
        SseRequest::Customer(key) => {
            request.trail.seals(Mode::CustomerKey, None);
            return customer_plan(rule, key.over(request.is_tls)?);
        }
    };
    if !rule.rule.allow.contains(&mode) {
        return Err(S3Error::new(ErrorCode::AccessDenied).into());
    }
    let key = match mode {
        Mode::Managed => cx.keys.describe(&cx.settings.managed_key).await?,
        Mode::NamedKey | Mode::CustomerKey => named_key(cx, request, rule, name.as_deref()).await?,
    };
    request.trail.seals(mode, Some(&key));
    let client_context = ClientContext::from_pairs(
        context
            .iter()
            .flat_map(|context| context.pairs().iter().cloned()),
    )
    .map_err(|_invalid| S3Error::new(ErrorCode::InvalidArgument))?;
    let bucket_key = bucket_key.unwrap_or_else(|| uses_bucket_key(cx, rule, key.provider));
    Ok(Plan::Sealed(SealPlan {
        kek: Kek::Configured(key),
        wrap: wrap_kind(bucket_key),
        mode,
        client_context,
    }))
}

/// The plan for an object under its writer's own key.
fn customer_plan(rule: &ResolvedRule, key: CustomerKey) -> Result<Plan, Error> {
    if !rule.rule.allow.contains(&Mode::CustomerKey) {
        return Err(S3Error::new(ErrorCode::AccessDenied).into());
    }
    Ok(Plan::Sealed(SealPlan {
        kek: Kek::Customer(key),
        wrap: WrapKind::Direct,
        mode: Mode::CustomerKey,
        client_context: ClientContext::default(),
    }))
}

/// How the rule has objects sealed for which nobody asks for anything; `None`: not at all.
fn own_mode(rule: &ResolvedRule) -> Result<Option<Mode>, Error> {
    match rule.rule.encryption {
        Encryption::Off => Ok(None),
        Encryption::Managed => Ok(Some(Mode::Managed)),
        Encryption::NamedKey => Ok(Some(Mode::NamedKey)),
        Encryption::CustomerKey | Encryption::Deny => {
            Err(S3Error::new(ErrorCode::AccessDenied).into())
        }
    }
}

/// The plan for an object that the operator has sealed; `None` where the rule does not encrypt.
pub async fn own_plan(cx: &Cx, rule: &ResolvedRule) -> Result<Option<SealPlan>, Error> {
    let Some(mode) = own_mode(rule)? else {
        return Ok(None);
    };
    let key = match mode {
        Mode::Managed => &cx.settings.managed_key,
        Mode::NamedKey | Mode::CustomerKey => &rule.rule.key,
    };
    let key = cx.keys.describe(key).await?;
    Ok(Some(SealPlan {
        wrap: wrap_kind(uses_bucket_key(cx, rule, key.provider)),
        kek: Kek::Configured(key),
        mode,
        client_context: ClientContext::default(),
    }))
}

/// Whether new objects under a rule get bucket keys if their writer does not say.
pub fn uses_bucket_key(cx: &Cx, rule: &ResolvedRule, provider: ProviderKind) -> bool {
    let default = match provider {
        ProviderKind::Local => cx.settings.bucket_keys.local,
        ProviderKind::AwsKms
        | ProviderKind::Transit
        | ProviderKind::Pkcs11
        | ProviderKind::Customer => cx.settings.bucket_keys.remote,
    };
    rule.rule.bucket_keys.unwrap_or(default)
}

fn wrap_kind(bucket_key: bool) -> WrapKind {
    if bucket_key {
        WrapKind::BucketKey
    } else {
        WrapKind::Direct
    }
}

/// The named key for who names none: the caller's own, or else the rule's.
pub fn default_key<'a>(request: &'a S3Request, rule: &'a ResolvedRule) -> &'a str {
    let caller = request.caller.as_ref();
    let own = caller.and_then(|caller| caller.client.key.as_deref());
    own.unwrap_or(&rule.rule.key)
}

/// The key the client named, or else its default, or else the rule's.
pub async fn named_key(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    asked: Option<&str>,
) -> Result<KeyRef, Error> {
    // Whether the key exists is answered first, as KMS does.
    let key = cx
        .keys
        .describe(asked.unwrap_or_else(|| default_key(request, rule)));
    let key = key.await?;
    let is_managed = rule.open.accepted.is_managed(&KeyId::from(&key));
    // An anonymous request may write where the rule says so, under the rule's own key only.
    let by_caller = match &request.caller {
        Some(caller) => caller.may_use(&key),
        None => asked.is_none(),
    };
    if is_managed || !rule.may_name(&key) || !by_caller {
        return Err(S3Error::new(ErrorCode::AccessDenied).into());
    }
    Ok(key)
}

impl SealPlan {
    /// The plan for an object that keeps its body, mode and client context under another wrap.
    pub fn rewrapping(key: KeyRef, bucket_key: bool, mode: Mode, context: ClientContext) -> Self {
        Self {
            kek: Kek::Configured(key),
            wrap: wrap_kind(bucket_key),
            mode,
            client_context: context,
        }
    }

    /// The key-encryption key, if it is a configured one.
    pub fn key(&self) -> Option<&KeyRef> {
        match &self.kek {
            Kek::Configured(key) => Some(key),
            Kek::Customer(_) => None,
        }
    }

    /// What the envelope of one object begins with.
    pub fn head(&self, rule: &Rule) -> Result<EnvelopeHead, Error> {
        Ok(EnvelopeHead::new(
            self.key().cloned().unwrap_or_else(customer::key_ref),
            self.wrap,
            self.mode,
            rule.binding,
            self.client_context.clone(),
        )?)
    }

    /// Makes and wraps a data key for one object: fresh for every call.
    pub async fn start(
        self,
        cx: &Cx,
        rule: &Rule,
        bucket: &str,
        object_key: &str,
        layout: Layout,
    ) -> Result<Sealing, Error> {
        let object_id = random_bytes().map_err(KeyError::from)?;
        let prefix = match layout {
            Layout::Single => HeaderPrefix::single(*object_id),
            Layout::Segmented => HeaderPrefix::segmented(*object_id, Ending::Terminal),
        };
        let head = self.head(rule)?;
        let logical_bucket = rule.logical_bucket(bucket);
        let context = head.context(&prefix, logical_bucket, object_key)?;
        let (data_key, wrapped) = match (&self.kek, self.wrap) {
            // A provider makes both in one call.
            (Kek::Configured(key), WrapKind::Direct) => {
                let fresh = cx.keys.generate(key, &context).await?;
                (fresh.data_key, Wrapped::Direct(fresh.wrapped))
            }
            (Kek::Configured(_), WrapKind::BucketKey) | (Kek::Customer(_), _) => {
                let data_key = DataKey::new(*random_bytes().map_err(KeyError::from)?);
                let wrapped = self.wrap(cx, logical_bucket, &data_key, &context).await?;
                (data_key, wrapped)
            }
        };
        let (header, content_key) = ContentHeader::new(prefix, &data_key);
        let envelope = KeyEnvelope::new(head, wrapped)?;
        Ok(Sealing {
            metadata: Metadata { header, envelope },
            content_key,
        })
    }

    /// Wraps a data key as the plan says: a fresh one, or one that a copy or a rewrap keeps.
    pub async fn wrap(
        &self,
        cx: &Cx,
        logical_bucket: &str,
        data_key: &DataKey,
        context: &WrapContext,
    ) -> Result<Wrapped, KeyError> {
        let kek = match &self.kek {
            Kek::Configured(kek) => kek,
            Kek::Customer(key) => {
                let wrapped = customer::wrap(key.expose(), data_key, context)?;
                return Ok(Wrapped::Direct(wrapped));
            }
        };
        if self.wrap == WrapKind::Direct {
            let wrapped = cx.keys.wrap(kek, data_key, context).await?;
            return Ok(Wrapped::Direct(wrapped));
        }
        let bucket_key = cx.keys.sealing_bucket_key(kek, logical_bucket).await?;
        Ok(Wrapped::BucketKey {
            id: bucket_key.wrapped.id,
            wrapped: bucket_key.key.wrap(data_key, context)?,
            wrapped_bucket_key: bucket_key.wrapped.wrapped.0,
        })
    }

    /// Which key wraps the data key.
    pub fn wrap_kind(&self) -> WrapKind {
        self.wrap
    }
}

impl Sealing {
    /// See [`add_metadata`].
    pub fn add_metadata(&self, stored: &mut HeaderMap) -> Result<(), Error> {
        add_metadata(&self.metadata, stored)
    }
}

/// Adds the two metadata values to what is stored, if they fit beside the client's.
pub fn add_metadata(metadata: &Metadata, stored: &mut HeaderMap) -> Result<(), Error> {
    for (name, value) in metadata.pairs() {
        let value = HeaderValue::from_str(&value)
            .map_err(|_impossible| S3Error::new(ErrorCode::InternalError))?;
        stored.insert(HeaderName::from_static(name), value);
    }
    match headers::metadata_len(stored) {
        0..=METADATA_LEN_MAX => Ok(()),
        len => Err(HeaderError::MetadataTooLarge { len }.into()),
    }
}

/// Whether the encryption context is shown: only by what wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowContext {
    /// PutObject, CopyObject, CreateMultipartUpload.
    Yes,
    /// Everything else.
    No,
}

/// Sets the encryption headers of the response to `request`: mode and key shown are those used.
pub async fn show(
    cx: &Cx,
    headers: &mut HeaderMap,
    envelope: &KeyEnvelope,
    context: ShowContext,
    request: &S3Request,
) {
    match envelope.head().mode() {
        Mode::Managed => insert_text(headers, "x-amz-server-side-encryption", "AES256"),
        Mode::NamedKey => {
            insert_text(headers, "x-amz-server-side-encryption", "aws:kms");
            let name = "x-amz-server-side-encryption-aws-kms-key-id";
            // In a registry, the bucket key may have another wrap than the object says.
            let bucket = request.bucket().unwrap_or_default();
            let rule = request.rule(cx).ok();
            let bucket = rule.map_or(bucket, |rule| rule.rule.logical_bucket(bucket));
            let current = cx.keys.current_wrap(envelope, bucket).await;
            let kek = current
                .as_ref()
                .map_or_else(|_outage| envelope.head().key(), CurrentWrap::kek);
            insert_text(headers, name, &kek.id);
            if envelope.head().wrap() == WrapKind::BucketKey {
                let name = "x-amz-server-side-encryption-bucket-key-enabled";
                insert_text(headers, name, "true");
            }
            let bytes = envelope.head().client_context().canonical_bytes();
            if context == ShowContext::Yes && !bytes.is_empty() {
                let value = data_encoding::BASE64.encode(bytes);
                insert_text(headers, "x-amz-server-side-encryption-context", &value);
            }
        }
        Mode::CustomerKey => {
            for name in [SSE_CUSTOMER_ALGORITHM, SSE_CUSTOMER_KEY_MD5] {
                if let Some(value) = request.headers.get(&name) {
                    headers.insert(name, value.clone());
                }
            }
        }
    }
}
