//! The policy of a form: what its signer allows (AWS, "POST policy").

use serde::Deserialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::FormError;
use super::fields::FormFields;

/// A policy document.
#[derive(Debug)]
pub struct PostPolicy {
    expiration: OffsetDateTime,
    conditions: Vec<Condition>,
}

/// What a policy says of the file: bytes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthRange {
    min: u64,
    max: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Condition {
    Field(FieldCondition),
    Length(LengthRange),
}

#[derive(Debug, PartialEq, Eq)]
struct FieldCondition {
    /// In lower case.
    name: String,
    operator: Operator,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equals,
    StartsWith,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    expiration: String,
    conditions: Vec<Value>,
}

impl PostPolicy {
    /// Reads a decoded document.
    pub fn parse(document: &[u8]) -> Result<Self, FormError> {
        let document: Document = serde_json::from_slice(document)
            .map_err(|_| FormError::Policy("it is not JSON with expiration and conditions"))?;
        let expiration = OffsetDateTime::parse(&document.expiration, &Rfc3339)
            .map_err(|_| FormError::Policy("the expiration is no ISO 8601 date"))?;
        let conditions = document.conditions.iter().map(Condition::parse);
        Ok(Self {
            expiration,
            conditions: conditions.collect::<Result<_, _>>()?,
        })
    }

    /// Holds the fields of a form that was sent to `bucket` against the conditions. What is left to
    /// check is the length of the file.
    pub fn check(
        &self,
        fields: &FormFields,
        bucket: &str,
        now: OffsetDateTime,
    ) -> Result<LengthRange, FormError> {
        if now >= self.expiration {
            return Err(FormError::Expired);
        }
        let mut lengths = LengthRange::ANY;
        for condition in &self.conditions {
            match condition {
                Condition::Field(condition) => condition.check(fields, bucket)?,
                Condition::Length(range) => lengths = lengths.and(*range),
            }
        }
        // The bucket is an input, though it stands in the address.
        let inputs = fields.names().filter(|name| *name != BUCKET);
        let extra = inputs
            .chain([BUCKET])
            .filter(|name| !is_free(name) && !self.mentions(name));
        let names: Vec<String> = extra.map(str::to_owned).collect();
        if names.is_empty() {
            Ok(lengths)
        } else {
            Err(FormError::ExtraFields { names })
        }
    }

    fn mentions(&self, name: &str) -> bool {
        self.conditions.iter().any(|condition| match condition {
            Condition::Field(condition) => condition.name == name,
            Condition::Length(_) => false,
        })
    }
}

impl LengthRange {
    /// What a form without such a condition may have.
    pub const ANY: Self = Self {
        min: 0,
        max: u64::MAX,
    };

    /// Refuses a file of another length.
    pub fn check(self, len: u64) -> Result<(), FormError> {
        let Self { min, max } = self;
        if len < min {
            return Err(FormError::TooSmall { len, min });
        }
        if len > max {
            return Err(FormError::TooLarge { len, max });
        }
        Ok(())
    }

    fn and(self, other: Self) -> Self {
        Self {
            min: self.min.max(other.min),
            max: self.max.min(other.max),
        }
    }
}

impl Condition {
    fn parse(value: &Value) -> Result<Self, FormError> {
        match value {
            Value::Object(pair) => Self::simple(pair),
            Value::Array(list) => Self::listed(list),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
        .ok_or(FormError::Policy("a condition cannot be understood"))
    }

    /// `{"name": "value"}`
    fn simple(pair: &Map<String, Value>) -> Option<Self> {
        let mut pairs = pair.iter();
        let (Some((name, Value::String(value))), None) = (pairs.next(), pairs.next()) else {
            return None;
        };
        Some(Self::field(Operator::Equals, name, value))
    }

    /// `["operator", "$name", "value"]` or `["content-length-range", min, max]`
    fn listed(list: &[Value]) -> Option<Self> {
        let [Value::String(operator), first, second] = list else {
            return None;
        };
        let operator = match operator.to_ascii_lowercase().as_str() {
            "eq" => Operator::Equals,
            "starts-with" => Operator::StartsWith,
            "content-length-range" => {
                let (min, max) = (number(first)?, number(second)?);
                return Some(Self::Length(LengthRange { min, max }));
            }
            _ => return None,
        };
        let name = first.as_str()?.strip_prefix('$')?;
        Some(Self::field(operator, name, second.as_str()?))
    }

    fn field(operator: Operator, name: &str, value: &str) -> Self {
        Self::Field(FieldCondition {
            name: name.to_ascii_lowercase(),
            operator,
            value: value.to_owned(),
        })
    }
}

impl FieldCondition {
    fn check(&self, fields: &FormFields, bucket: &str) -> Result<(), FormError> {
        let field = fields.get(&self.name);
        let holds = match field {
            // A field of this name cannot choose another bucket.
            Some(field) if self.name == BUCKET => field == bucket && self.allows(bucket),
            None if self.name == BUCKET => self.allows(bucket),
            field => field.is_some_and(|field| self.allows(field)),
        };
        holds.then_some(()).ok_or_else(|| FormError::Condition {
            condition: self.shown(),
        })
    }

    fn allows(&self, field: &str) -> bool {
        match self.operator {
            Operator::Equals => field == self.value,
            // A list of types is allowed if each of them is.
            Operator::StartsWith if self.name == "content-type" => field
                .split(',')
                .all(|kind| kind.trim_start().starts_with(&self.value)),
            Operator::StartsWith => field.starts_with(&self.value),
        }
    }

    fn shown(&self) -> String {
        let operator = match self.operator {
            Operator::Equals => "eq",
            Operator::StartsWith => "starts-with",
        };
        let (name, value) = (format!("${}", self.name), self.value.as_str());
        let quoted = [operator, &name, value].map(|text| Value::from(text).to_string());
        format!("[{}]", quoted.join(", "))
    }
}

/// Some signers write numbers as texts.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => super::number(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Fields that a policy need not mention.
fn is_free(name: &str) -> bool {
    matches!(name, "file" | "policy" | "x-amz-signature") || name.starts_with("x-ignore-")
}

const BUCKET: &str = "bucket";

#[cfg(test)]
mod tests;
