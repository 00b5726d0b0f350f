//! The manual: what the proxy promises, how to run it, and why it is built as it is.
//!
//! | page | for whom |
//! |---|---|
//! | [`semantics`] | what clients can rely on, in numbered promises, and where S3 differs |
//! | [`threat_model`] | what is refused, what is not detected, what is trusted |
//! | [`operations`] | running it, keys, failures |
//! | [`keys`] | the hierarchy of keys, providers, caches, and who may open what |
//! | [`metrics`] | every metric, its labels, and what to watch |
//! | [`runbook`] | one section for each alert: what it means, what to look at, what to do |
//! | [`recipes`] | settings for programs that keep their data in S3, and moves between keys and providers |
//! | [`clients`] | settings for aws cli, boto3, s5cmd, rclone, s3cmd |
//! | [`performance`] | how speed and memory are measured |
//! | [`past_failures`] | how programs of this kind failed, and what guards against it here |
//! | [`decisions`] | one page per decision: context, decision, consequences, what would change it |
//!
//! Each page is a Markdown file beside this one, so it also reads well without rustdoc. Links between
//! pages are defined twice: here for rustdoc, at the end of a page for everybody else. The first
//! definition wins.

#![allow(
    clippy::doc_markdown,
    reason = "the pages are prose, with product and header names"
)]

pub mod semantics {
    //! [operations]: super::operations
    #![doc = include_str!("semantics.md")]
}

pub mod threat_model {
    //! [operations]: super::operations
    //! [semantics]: super::semantics
    #![doc = include_str!("threat_model.md")]
}

pub mod operations {
    //! [clients]: super::clients
    //! [performance]: super::performance
    //! [recipes]: super::recipes
    //! [runbook]: super::runbook
    //! [semantics]: super::semantics
    //! [threat_model]: super::threat_model
    #![doc = include_str!("operations.md")]
}

pub mod keys {
    #![doc = include_str!("keys.md")]
}

pub mod metrics {
    #![doc = include_str!("metrics.md")]
}

pub mod runbook {
    //! [operations]: super::operations
    #![doc = include_str!("runbook.md")]
}

pub mod clients {
    #![doc = include_str!("clients.md")]
}

pub mod recipes {
    //! [clients]: super::clients
    //! [operations]: super::operations
    //! [runbook]: super::runbook
    //! [semantics]: super::semantics
    #![doc = include_str!("recipes.md")]
}

pub mod performance {
    #![doc = include_str!("performance.md")]
}

pub mod past_failures {
    //! [semantics]: super::semantics
    #![doc = include_str!("past_failures.md")]
}

/// Architecture decisions: context, decision, consequences, and what would change our mind.
///
/// A decision is never edited into another one: a new page supersedes it and says so.
pub mod decisions {
    pub mod d0001_raw_hyper {
        #![doc = include_str!("decisions/0001-raw-hyper.md")]
    }
    pub mod d0002_one_crate {
        #![doc = include_str!("decisions/0002-one-crate.md")]
    }
    pub mod d0003_envelope_place_and_format_v1 {
        #![doc = include_str!("decisions/0003-envelope-place-and-format-v1.md")]
    }
    pub mod d0004_own_canonicaliser {
        #![doc = include_str!("decisions/0004-own-canonicaliser.md")]
    }
    pub mod d0005_no_retry_of_streamed_bodies {
        #![doc = include_str!("decisions/0005-no-retry-of-streamed-bodies.md")]
    }
    pub mod d0006_dashed_etags {
        #![doc = include_str!("decisions/0006-dashed-etags.md")]
    }
    pub mod d0007_unknown_operations_are_refused {
        #![doc = include_str!("decisions/0007-unknown-operations-are-refused.md")]
    }
    pub mod d0008_legacy_plaintext_objects {
        #![doc = include_str!("decisions/0008-legacy-plaintext-objects.md")]
    }
    pub mod d0009_two_bulk_ciphers {
        #![doc = include_str!("decisions/0009-two-bulk-ciphers.md")]
    }
    pub mod d0010_feature_proxy_splits_pure_rooms_from_io {
        #![doc = include_str!("decisions/0010-feature-proxy-splits-pure-rooms-from-io.md")]
    }
    pub mod d0011_a_thread_per_cpu {
        #![doc = include_str!("decisions/0011-a-thread-per-cpu.md")]
    }
    pub mod d0012_own_upstream_signer {
        #![doc = include_str!("decisions/0012-own-upstream-signer.md")]
    }
    pub mod d0013_hkdf_expand_over_a_prepared_key {
        #![doc = include_str!("decisions/0013-hkdf-expand-over-a-prepared-key.md")]
    }
}
