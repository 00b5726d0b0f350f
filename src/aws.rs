//! Who we are to AWS and what speaks like it: from configured credentials to a provider of them.

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use thiserror::Error;

use crate::config::upstream::{Credentials as Configured, Role, StaticCredentials};

/// The default chain found nothing.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the AWS default chain offers no credentials provider")]
pub struct NoProvider;

/// What provides the configured credentials. Nobody is asked for any yet.
pub async fn provider(
    configured: &Configured,
    region: &str,
) -> Result<SharedCredentialsProvider, NoProvider> {
    match configured {
        Configured::DefaultChain => {
            let loaded = load(region, None).await;
            loaded.credentials_provider().ok_or(NoProvider)
        }
        Configured::Role(role) => {
            let loaded = load(region, Some(role)).await;
            let assuming = AssumeRoleProvider::builder(&role.arn)
                .session_name(&role.session_name)
                .configure(&loaded);
            let assuming = match &role.external_id {
                Some(id) => assuming.external_id(id),
                None => assuming,
            };
            let assuming = Box::pin(assuming.build()).await;
            Ok(SharedCredentialsProvider::new(assuming))
        }
        Configured::Static(own) => Ok(SharedCredentialsProvider::new(fixed(own))),
    }
}

/// Fixed credentials as signers want them.
pub fn fixed(own: &StaticCredentials) -> Credentials {
    let token = own.session_token.as_ref();
    Credentials::new(
        own.access_key_id.clone(),
        own.secret_access_key.expose().clone(),
        token.map(|token| token.expose().clone()),
        None,
        "configuration",
    )
}

/// What the default chain reads, for STS as a role says.
async fn load(region: &str, role: Option<&Role>) -> SdkConfig {
    let region = Region::new(region.to_owned());
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).region(region);
    if let Some(endpoint) = role.and_then(|role| role.sts_endpoint.as_ref()) {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(own) = role.and_then(|role| role.assumed_by.as_ref()) {
        loader = loader.credentials_provider(fixed(own));
    }
    Box::pin(loader.load()).await
}
