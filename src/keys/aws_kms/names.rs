//! What KMS calls a key: its ARN, and the names that mean the same.

use crate::keys::service::ServedKey;
use crate::keys::types::{KeyRef, ProviderKind};

/// The keys that were asked for at the start, without duplicates.
#[derive(Debug, Default)]
pub(super) struct KnownKeys(Vec<KnownKey>);

/// A key, with every name that may be used for it.
#[derive(Debug)]
pub(super) struct KnownKey {
    arn: KeyArn,
    aliases: Vec<String>,
}

/// `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyArn {
    text: String,
    partition: String,
    /// What comes before `key/ID`, and before the name of an alias of the same account.
    account: String,
    id: String,
}

impl KnownKeys {
    pub(super) fn iter(&self) -> impl Iterator<Item = &KnownKey> {
        self.0.iter()
    }

    /// Adds what a configured name stands for: another name of a known key, or a key.
    pub(super) fn add(&mut self, arn: KeyArn, configured: &str) {
        let aliases = arn.aliases(configured);
        if let Some(known) = self.0.iter_mut().find(|known| known.arn == arn) {
            known.learn(aliases);
            return;
        }
        let mut known = KnownKey {
            arn,
            aliases: Vec::new(),
        };
        known.learn(aliases);
        self.0.push(known);
    }
}

impl KnownKey {
    pub(super) fn arn(&self) -> &str {
        &self.arn.text
    }

    pub(super) fn partition(&self) -> &str {
        &self.arn.partition
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        self.arn.text == name || self.aliases.iter().any(|alias| alias == name)
    }

    pub(super) fn key_ref(&self) -> KeyRef {
        KeyRef {
            provider: ProviderKind::AwsKms,
            id: self.arn.text.clone(),
            version: 0,
        }
    }

    pub(super) fn served(&self) -> ServedKey {
        ServedKey {
            id: self.arn.text.clone(),
            aliases: self.aliases.clone(),
        }
    }

    fn learn(&mut self, aliases: Vec<String>) {
        for alias in aliases {
            if !self.is_called(&alias) {
                self.aliases.push(alias);
            }
        }
    }
}

impl KeyArn {
    /// `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let ["arn", partition, "kms", region, account, resource] = parts[..] else {
            return None;
        };
        let id = resource.strip_prefix("key/")?;
        if [partition, region, account, id].contains(&"") {
            return None;
        }
        Some(Self {
            text: text.to_owned(),
            partition: partition.to_owned(),
            account: format!("arn:{partition}:kms:{region}:{account}:"),
            id: id.to_owned(),
        })
    }

    /// Names of the key besides its ARN, when it was found by the `configured` one.
    fn aliases(&self, configured: &str) -> Vec<String> {
        let mut aliases = vec![configured.to_owned()];
        // The id of a multi-Region key is that of its replicas, too, which another provider may serve.
        if !self.id.starts_with(MULTI_REGION) {
            aliases.push(self.id.clone());
        }
        if configured.starts_with("alias/") {
            aliases.push(format!("{}{configured}", self.account));
        }
        aliases
    }
}

const MULTI_REGION: &str = "mrk-";

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kms:eu-central-1:123456789012:key/0b1c2d3e";
    const REPLICA: &str = "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/mrk-0b1c2d3e";

    fn known(names: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
        let mut keys = KnownKeys::default();
        for (arn, configured) in names {
            keys.add(KeyArn::parse(arn).unwrap(), configured);
        }
        let served = keys.iter().map(KnownKey::served);
        served.map(|key| (key.id, key.aliases)).collect()
    }

    #[test]
    fn every_name_of_a_key_is_served_once() {
        let alias_arn = "arn:aws:kms:eu-central-1:123456789012:alias/app";
        for (configured, aliases) in [
            (vec![ARN], vec!["0b1c2d3e"]),
            (vec!["0b1c2d3e"], vec!["0b1c2d3e"]),
            (vec!["alias/app"], vec!["alias/app", "0b1c2d3e", alias_arn]),
            (vec![alias_arn], vec![alias_arn, "0b1c2d3e"]),
            (
                vec![ARN, "alias/app", alias_arn, "0b1c2d3e"],
                vec!["0b1c2d3e", "alias/app", alias_arn],
            ),
        ] {
            let names: Vec<_> = configured.iter().map(|name| (ARN, *name)).collect();
            let aliases = aliases.into_iter().map(str::to_owned).collect();
            assert_eq!(known(&names), [(ARN.to_owned(), aliases)], "{configured:?}");
        }
    }

    #[test]
    fn an_id_that_replicas_share_is_a_name_only_where_it_is_configured() {
        assert_eq!(known(&[(REPLICA, REPLICA)])[0].1, [""; 0]);
        assert_eq!(known(&[(REPLICA, "mrk-0b1c2d3e")])[0].1, ["mrk-0b1c2d3e"]);
    }

    #[test]
    fn other_arns_are_none_of_keys() {
        for text in [
            "",
            "0b1c2d3e",
            "alias/app",
            "arn:aws:kms:eu-central-1:123456789012:alias/app",
            "arn:aws:kms:eu-central-1:123456789012:key/",
            "arn:aws:kms::123456789012:key/0b1c2d3e",
            "arn:aws:s3:eu-central-1:123456789012:key/0b1c2d3e",
            "arn::kms:eu-central-1:123456789012:key/0b1c2d3e",
            "arn:aws:kms:eu-central-1:123456789012:key/0b1c2d3e:x",
        ] {
            assert_eq!(KeyArn::parse(text), None, "{text}");
        }
    }
}
