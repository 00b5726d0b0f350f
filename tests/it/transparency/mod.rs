//! The same request to a server directly and through the proxy gives the same answer, except for
//! what `allowed.rs` lists. The names of the tests are promises.

mod allowed;
mod buckets;
mod conditions;
mod copies;
mod differential;
mod keys;
mod known;
mod listings;
mod multipart;
mod objects;
mod pair;
mod ranges;
mod versions;

use self::pair::Pair;

/// Tests that hold a promise over one server.
macro_rules! promises {
    ($server:ident: $($room:ident::$promise:ident),* $(,)?) => {
        mod $server {
            $(
                #[tokio::test]
                async fn $promise() {
                    if let Some(pair) = super::Pair::$server().await {
                        super::$room::$promise(&pair).await;
                    }
                }
            )*
        }
    };
}

promises! { embedded:
    buckets::bucket_calls_pass,
    buckets::errors_of_buckets_pass,
    conditions::conditional_put_412_passes,
    keys::a_key_that_is_too_long_is_refused,
    listings::listing_sizes_equal_plaintext_sizes,
    listings::listings_say_the_same,
    multipart::parts_in_any_order_make_one_object,
    multipart::parts_that_only_look_equal_are_found,
    multipart::ranges_and_parts_of_multipart_objects_equal_slices,
    objects::deletes_pass,
    objects::empty_objects_come_back_empty,
    objects::errors_of_objects_pass,
    objects::every_payload_mode_stores_the_same,
    objects::no_content_type_is_made_up,
    objects::presigned_urls_work,
    objects::response_overrides_work,
    objects::sent_checksums_come_back,
    objects::user_metadata_and_content_headers_come_back_as_sent,
    ranges::edge_cases_of_ranges_are_answered_alike,
    ranges::five_hundred_random_ranges_equal_slices,
}

promises! { seaweedfs:
    buckets::bucket_calls_pass,
    buckets::errors_of_buckets_pass,
    conditions::conditional_get_304_412_pass,
    conditions::conditional_put_412_passes,
    conditions::of_32_writers_that_want_to_be_first_exactly_one_is,
    copies::a_copy_is_the_same_object,
    copies::conditions_on_the_source_hold,
    copies::copies_between_buckets_are_the_same_object,
    copies::copies_that_cannot_be_are_refused_alike,
    copies::metadata_is_replaced_where_it_is_said,
    copies::multipart_objects_are_copied,
    copies::parts_are_copied,
    copies::tags_are_copied,
    copies::tags_are_replaced_where_it_is_said,
    copies::versions_are_copied,
    differential::every_request_is_answered_alike,
    keys::odd_keys_come_back_byte_by_byte,
    listings::listing_sizes_equal_plaintext_sizes,
    listings::listings_say_the_same,
    multipart::completions_that_cannot_be_right_are_refused,
    multipart::listed_sizes_of_multipart_objects_are_plaintext_sizes,
    multipart::lists_of_parts_show_plaintext,
    multipart::parts_in_any_order_make_one_object,
    multipart::parts_that_only_look_equal_are_found,
    multipart::ranges_and_parts_of_multipart_objects_equal_slices,
    objects::deletes_pass,
    objects::empty_objects_come_back_empty,
    objects::errors_of_objects_pass,
    objects::every_payload_mode_stores_the_same,
    objects::presigned_urls_work,
    objects::response_overrides_work,
    objects::sent_checksums_come_back,
    objects::tags_pass,
    objects::user_metadata_and_content_headers_come_back_as_sent,
    ranges::edge_cases_of_ranges_are_answered_alike,
    ranges::five_hundred_random_ranges_equal_slices,
    ranges::suffixes_longer_than_the_object_give_all_of_it,
    versions::versions_and_delete_markers_pass,
    versions::version_listings_say_the_same,
}

promises! { ceph:
    buckets::bucket_calls_pass,
    buckets::errors_of_buckets_pass,
    conditions::conditional_get_304_412_pass,
    conditions::of_32_writers_that_want_to_be_first_exactly_one_is,
    copies::a_copy_is_the_same_object,
    copies::conditions_on_the_source_hold,
    copies::copies_between_buckets_are_the_same_object,
    copies::copies_that_cannot_be_are_refused_alike,
    copies::metadata_is_replaced_where_it_is_said,
    copies::multipart_objects_are_copied,
    copies::parts_are_copied,
    copies::tags_are_copied,
    copies::tags_are_replaced_where_it_is_said,
    copies::versions_are_copied,
    differential::every_request_is_answered_alike,
    keys::every_odd_key_is_stored_and_listed,
    keys::odd_keys_come_back_byte_by_byte,
    listings::listing_sizes_equal_plaintext_sizes,
    listings::listings_say_the_same,
    multipart::completions_that_cannot_be_right_are_refused,
    multipart::listed_sizes_of_multipart_objects_are_plaintext_sizes,
    multipart::lists_of_parts_show_plaintext,
    multipart::parts_in_any_order_make_one_object,
    multipart::parts_that_only_look_equal_are_found,
    multipart::ranges_and_parts_of_multipart_objects_equal_slices,
    objects::deletes_pass,
    objects::empty_objects_come_back_empty,
    objects::errors_of_objects_pass,
    objects::every_payload_mode_stores_the_same,
    objects::no_content_type_is_made_up,
    objects::presigned_urls_work,
    objects::response_overrides_work,
    objects::tags_pass,
    objects::user_metadata_and_content_headers_come_back_as_sent,
    ranges::edge_cases_of_ranges_are_answered_alike,
    ranges::five_hundred_random_ranges_equal_slices,
    ranges::suffixes_longer_than_the_object_give_all_of_it,
    versions::versions_and_delete_markers_pass,
    versions::version_listings_say_the_same,
}
