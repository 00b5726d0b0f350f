//! A moto server that the environment names, and what the owner of its keys does to them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::{APP, upstream};

/// A running server.
#[derive(Clone)]
pub struct Moto {
    pub address: SocketAddr,
    client: Client,
}

impl Moto {
    /// The server of the test run. `None` where the tests are told to do without.
    pub fn of_the_run() -> Option<Self> {
        let address = upstream::address_from_environment("S3SEAL_TEST_KMS")?;
        Some(Self {
            address,
            client: Client::new(address, APP),
        })
    }

    /// One call of the owner; anything but a success is an error of the test.
    pub async fn owner(&self, call: &str, body: &Value) -> Value {
        let answer = self
            .client
            .unsigned("POST", "/")
            .header("x-amz-target", &format!("TrentService.{call}"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("authorization", CREDENTIAL)
            .body(body.to_string())
            .send()
            .await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status.is_success(), "{call} {body}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// A key, with an alias that no other test has.
    pub async fn key(&self) -> Key {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let made = self.owner("CreateKey", &json!({})).await;
        let text = |name: &str| made["KeyMetadata"][name].as_str().unwrap().to_owned();
        let key = Key {
            arn: text("Arn"),
            id: text("KeyId"),
            alias: format!("alias/s3seal-{}-{number}", std::process::id()),
        };
        let body = json!({"AliasName": key.alias, "TargetKeyId": key.id});
        self.owner("CreateAlias", &body).await;
        key
    }
}

/// What a key is called.
#[derive(Clone, Debug)]
pub struct Key {
    pub arn: String,
    pub id: String,
    pub alias: String,
}

impl Key {
    /// The ARN of the alias.
    pub fn alias_arn(&self) -> String {
        self.arn.replace(&format!("key/{}", self.id), &self.alias)
    }
}

pub const REGION: &str = "eu-central-1";

/// moto takes the region from here, and checks nothing.
const CREDENTIAL: &str = "AWS4-HMAC-SHA256 Credential=A/20260101/eu-central-1/kms/aws4_request, \
                          SignedHeaders=host, Signature=0";
