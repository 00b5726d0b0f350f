//! Logins: how a token is got, asked about and renewed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;
use zeroize::Zeroizing;

use super::api::{Api, Refusal};
use crate::config::keys::{SecretPlace, TransitAuth};
use crate::keys::provider::{KeyError, Outage};
use crate::secret::Secret;

/// A token, and how long it is good for.
pub(super) struct Token {
    pub(super) secret: Secret<String>,
    pub(super) lease: Lease,
}

/// How long a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// `None`: for ever.
    pub(super) ttl: Option<Duration>,
    pub(super) is_renewable: bool,
}

/// Why there is no token.
#[derive(Debug, Error)]
pub(super) enum LoginError {
    /// A secret id or token in a file that cannot be read now.
    #[error("the secret cannot be read: {0}")]
    Secret(#[from] io::Error),
    #[error("{0}")]
    Server(#[from] Refusal),
}

impl LoginError {
    /// What requests are told meanwhile. That nobody lets us in is not the client's fault.
    pub(super) fn meaning(&self) -> KeyError {
        match self {
            Self::Server(Refusal::Key(
                error @ (KeyError::Unavailable(_) | KeyError::Throttled),
            )) => *error,
            Self::Secret(_) | Self::Server(Refusal::Denied | Refusal::Key(_)) => {
                Outage::Login.into()
            }
        }
    }
}

/// Gets a token. With the method `token` it is the one that is there, if the server knows it.
pub(super) async fn log_in(api: &Api, auth: &TransitAuth) -> Result<Token, LoginError> {
    let (mount, body) = match auth {
        TransitAuth::Token { token } => {
            let secret = read(token).await?;
            let lease = look_up(api, &secret).await?;
            return Ok(Token { secret, lease });
        }
        TransitAuth::AppRole {
            mount,
            role_id,
            secret_id,
        } => {
            let secret_id = read(secret_id).await?;
            (
                mount,
                json!({"role_id": role_id, "secret_id": secret_id.expose()}),
            )
        }
        TransitAuth::Kubernetes { mount, role, jwt } => {
            let jwt = read(jwt).await?;
            (mount, json!({"role": role, "jwt": jwt.expose()}))
        }
    };
    let path = format!("auth/{mount}/login");
    let answer = api.send(Method::POST, &path, None, Some(&body)).await?;
    let auth = auth_of(&answer)?;
    Ok(Token {
        secret: Secret::new(auth.client_token.to_owned()),
        lease: auth.lease(),
    })
}

/// Asks the server what it knows about a token.
pub(super) async fn look_up(api: &Api, token: &Secret<String>) -> Result<Lease, Refusal> {
    #[derive(Deserialize)]
    struct Answer {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        expire_time: Option<String>,
        ttl: u64,
        renewable: bool,
    }
    let path = "auth/token/lookup-self";
    let answer = api.send(Method::GET, path, Some(token), None).await?;
    let Answer { data } = serde_json::from_slice(&answer).map_err(|_junk| junk())?;
    Ok(Lease {
        ttl: data.expire_time.map(|_time| Duration::from_secs(data.ttl)),
        is_renewable: data.renewable,
    })
}

/// Prolongs a token.
pub(super) async fn renew(api: &Api, token: &Secret<String>) -> Result<Lease, Refusal> {
    let path = "auth/token/renew-self";
    let body = Value::Object(serde_json::Map::new());
    let answer = api
        .send(Method::POST, path, Some(token), Some(&body))
        .await?;
    Ok(auth_of(&answer)?.lease())
}

/// A file may lie on a disk that takes its time.
async fn read(place: &Arc<SecretPlace>) -> io::Result<Secret<String>> {
    let place = Arc::clone(place);
    tokio::task::spawn_blocking(move || place.read())
        .await
        .map_err(io::Error::other)?
}

#[derive(Deserialize)]
struct Auth<'a> {
    client_token: &'a str,
    lease_duration: u64,
    renewable: bool,
}

impl Auth<'_> {
    fn lease(&self) -> Lease {
        Lease {
            ttl: (self.lease_duration > 0).then(|| Duration::from_secs(self.lease_duration)),
            is_renewable: self.renewable,
        }
    }
}

fn auth_of(answer: &Zeroizing<Vec<u8>>) -> Result<Auth<'_>, Refusal> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        auth: Auth<'a>,
    }
    serde_json::from_slice::<Answer<'_>>(answer)
        .map(|answer| answer.auth)
        .map_err(|_junk| junk())
}

fn junk() -> Refusal {
    KeyError::from(Outage::Answer).into()
}
