//! Forms, which are signed in their fields: the signature is of the policy, as it stands there
//! (AWS, "Browser-based uploads using POST").

use super::{
    AuthError, Authenticator, ClientSecrets, PayloadClaim, Scheme, SignatureMismatch, Verified,
    error::{Malformation, Place},
    header::{self, SIGV4A_ALGORITHM},
    policy::Credential,
};
use crate::s3::{
    form::fields::FormFields,
    sigv4::{ALGORITHM, Timestamp},
};

impl Authenticator {
    /// Who signed this form; nobody at all is [`Scheme::Anonymous`]. What the policy allows and
    /// until when is its own matter: the date of the signature says nothing about that.
    pub fn authenticate_form(
        &self,
        fields: &FormFields,
        secrets: &dyn ClientSecrets,
    ) -> Result<Verified, AuthError> {
        if fields.is_signed_v2() {
            return Err(AuthError::SignatureV2);
        }
        if !fields.is_signed() {
            return Ok(verified(None, Scheme::Anonymous));
        }
        let policy = need(fields, "policy")?;
        let signature = need(fields, "x-amz-signature")?;
        match need(fields, "x-amz-algorithm")? {
            ALGORITHM => {}
            SIGV4A_ALGORITHM => return Err(AuthError::SigV4a),
            _ => return Err(AuthError::UnsupportedScheme),
        }
        if fields.get("x-amz-security-token").is_some() {
            return Err(AuthError::SessionToken);
        }
        let credential = Credential::parse(need(fields, "x-amz-credential")?, Place::Form)?;
        let date = Timestamp::parse_basic(need(fields, "x-amz-date")?);
        let date = date.ok_or(AuthError::Malformed {
            place: Place::Form,
            fault: Malformation::Date,
        })?;
        credential.check(Place::Form, &self.region, &date)?;
        let signature = header::check_signature(signature, Place::Form)?;
        let id = credential.access_key_id;
        self.with_key(id, &date, secrets, |key| {
            if key.verify(policy.as_bytes(), signature.as_bytes()) {
                return Ok(());
            }
            Err(AuthError::SignatureDoesNotMatch(Box::new(
                SignatureMismatch {
                    access_key_id: id.to_owned(),
                    string_to_sign: policy.to_owned(),
                    signature_provided: signature.to_owned(),
                    canonical_request: String::new(),
                },
            )))
        })?;
        Ok(verified(Some(id.to_owned()), Scheme::Form))
    }
}

/// No claim is made about the body as a whole, and none of its bytes are signed.
fn verified(caller: Option<String>, scheme: Scheme) -> Verified {
    Verified {
        caller,
        scheme,
        payload: PayloadClaim::Unsigned,
        chain: None,
        header_parameters: Vec::new(),
    }
}

fn need<'a>(fields: &'a FormFields, name: &'static str) -> Result<&'a str, AuthError> {
    fields.get(name).ok_or(AuthError::MissingField { name })
}

#[cfg(test)]
mod tests {
    use super::super::test_support::*;
    use super::*;

    /// "Examples: browser-based upload using HTTP POST" of the S3 documentation.
    const POLICY: &str = "\
        eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAg\
        ICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAi\
        dXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25f\
        cmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxf\
        dXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQog\
        ICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRl\
        LWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAi\
        Il0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMt\
        ZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEy\
        NTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
    const SIGNATURE: &str = "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e";

    fn form(changes: &[(&'static str, Option<&str>)]) -> FormFields {
        let credential = format!("{ACCESS_KEY}/20151229/us-east-1/s3/aws4_request");
        let mut pairs = vec![
            ("policy", POLICY),
            ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
            ("x-amz-credential", &credential),
            ("x-amz-date", "20151229T000000Z"),
            ("x-amz-signature", SIGNATURE),
        ];
        for (name, value) in changes {
            pairs.retain(|(other, _)| other != name);
            pairs.extend(value.map(|value| (*name, value)));
        }
        let mut fields = FormFields::default();
        for (name, value) in pairs {
            fields.insert(name, value.as_bytes().to_vec()).unwrap();
        }
        fields
    }

    fn reason(changes: &[(&'static str, Option<&str>)]) -> &'static str {
        let result = authenticator().authenticate_form(&form(changes), &OneClient::new());
        result.unwrap_err().reason()
    }

    #[test]
    fn the_published_example_verifies() {
        let verified = authenticator()
            .authenticate_form(&form(&[]), &OneClient::new())
            .unwrap();
        assert_eq!(verified.caller(), Some(ACCESS_KEY));
        assert_eq!(verified.scheme(), Scheme::Form);
    }

    #[test]
    fn a_form_without_a_signature_is_anonymous_and_one_with_half_of_it_is_none() {
        let fields = FormFields::default();
        let verified = authenticator()
            .authenticate_form(&fields, &OneClient::new())
            .unwrap();
        assert_eq!(
            (verified.caller(), verified.scheme()),
            (None, Scheme::Anonymous)
        );
        for name in [
            "policy",
            "x-amz-algorithm",
            "x-amz-credential",
            "x-amz-date",
            "x-amz-signature",
        ] {
            assert_eq!(reason(&[(name, None)]), "malformed", "{name}");
        }
    }

    #[test]
    fn what_was_not_signed_so_is_refused() {
        let other_policy = format!("{POLICY}A");
        let upper = SIGNATURE.to_uppercase();
        for (name, value, expected) in [
            ("policy", other_policy.as_str(), "signature"),
            ("x-amz-signature", &"0".repeat(64), "signature"),
            ("x-amz-signature", &upper, "malformed"),
            ("x-amz-signature", "", "malformed"),
            ("x-amz-algorithm", "AWS4-ECDSA-P256-SHA256", "unsupported"),
            ("x-amz-algorithm", "AWS5", "unsupported"),
            ("x-amz-security-token", "t", "session_token"),
            ("x-amz-date", "20151230T000000Z", "malformed"),
            ("x-amz-date", "yesterday", "malformed"),
            (
                "x-amz-credential",
                "NOBODY/20151229/us-east-1/s3/aws4_request",
                "unknown_access_key",
            ),
            (
                "x-amz-credential",
                "AKIAIOSFODNN7EXAMPLE/20151229/eu-west-1/s3/aws4_request",
                "region",
            ),
            ("x-amz-credential", "AKIAIOSFODNN7EXAMPLE", "malformed"),
            ("awsaccesskeyid", "AKIAIOSFODNN7EXAMPLE", "unsupported"),
            ("signature", "x", "unsupported"),
        ] {
            assert_eq!(reason(&[(name, Some(value))]), expected, "{name} {value}");
        }
    }
}
