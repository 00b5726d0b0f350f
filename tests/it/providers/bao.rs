//! An OpenBao server that the environment names, and what its operator does to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::{APP, upstream};

/// A running server.
#[derive(Clone)]
pub struct Bao {
    pub address: SocketAddr,
    pub token: String,
    client: Client,
}

impl Bao {
    /// The server of the test run. `None` where the tests are told to do without.
    pub fn of_the_run() -> Option<Self> {
        let address = upstream::address_from_environment("S3SEAL_TEST_BAO")?;
        let token = std::env::var("S3SEAL_TEST_BAO_TOKEN").expect("S3SEAL_TEST_BAO_TOKEN");
        Some(Self {
            address,
            token,
            client: Client::new(address, APP),
        })
    }

    /// One request of the operator; anything but a success is an error of the test.
    pub async fn operator(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self
            .client
            .unsigned(method, &format!("/v1/{path}"))
            .header("x-vault-token", &self.token)
            .body(body.to_string())
            .send()
            .await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status.is_success(), "{method} {path}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Mounts an engine or a method of its own for one test, and says where.
    pub async fn mount(&self, what: &str, kind: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = format!("{kind}-{}-{number}", std::process::id());
        let body = json!({"type": kind});
        self.operator("POST", &format!("sys/{what}/{path}"), &body)
            .await;
        path
    }

    /// An engine with one derived key.
    pub async fn transit(&self, key: &str) -> String {
        let mount = self.mount("mounts", "transit").await;
        self.transit_key(&mount, key).await;
        mount
    }

    /// One more derived key.
    pub async fn transit_key(&self, mount: &str, key: &str) {
        let body = json!({"type": "aes256-gcm96", "derived": true});
        self.operator("POST", &format!("{mount}/keys/{key}"), &body)
            .await;
    }

    /// A policy to use a key and nothing else.
    pub async fn policy(&self, mount: &str, key: &str) -> String {
        let policy = format!("use-{mount}");
        let calls = ["datakey/plaintext", "encrypt", "decrypt", "rewrap"];
        let rule =
            |call| format!("path \"{mount}/{call}/{key}\" {{ capabilities = [\"update\"] }}");
        let rules = calls.map(rule).join("\n");
        let body = json!({"policy": rules});
        self.operator("PUT", &format!("sys/policies/acl/{policy}"), &body)
            .await;
        policy
    }

    /// A role that may use a key and nothing else; its id and a secret id.
    pub async fn approle(&self, mount: &str, key: &str, ttl: &str, max_ttl: &str) -> AppRole {
        let policy = self.policy(mount, key).await;
        let method = self.mount("auth", "approle").await;
        let role = format!("auth/{method}/role/proxy");
        let body = json!({"token_policies": policy, "token_ttl": ttl, "token_max_ttl": max_ttl});
        self.operator("POST", &role, &body).await;
        let id = self
            .operator("GET", &format!("{role}/role-id"), &Value::Null)
            .await;
        let secret = self
            .operator("POST", &format!("{role}/secret-id"), &json!({}))
            .await;
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        AppRole {
            method,
            policy,
            role_id: text(&id["data"]["role_id"]),
            secret_id: text(&secret["data"]["secret_id"]),
        }
    }
}

/// What a role logs in with.
pub struct AppRole {
    pub method: String,
    pub policy: String,
    pub role_id: String,
    pub secret_id: String,
}
