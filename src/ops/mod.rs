//! One file per operation that is not a plain forward.

pub mod acl;
pub mod attributes;
pub mod bucket_encryption;
pub mod bucket_key_rewrap;
pub mod context;
pub mod copy;
pub mod cors;
pub mod delete_object;
pub mod delete_objects;
pub mod encryption;
pub mod forward;
pub mod get_object;
pub mod head_object;
pub mod in_place;
pub mod incoming;
pub mod kept;
pub mod key_registry;
pub mod layouts;
pub mod list_buckets;
pub mod list_objects;
pub mod listed_sizes;
pub mod multipart;
pub mod outgoing;
pub mod patience;
pub mod policy;
pub mod post_object;
pub mod put_object;
pub mod read;
pub mod refuse;
pub mod report;
pub mod rewrapped;
pub mod s3ec;
pub mod segmented;
pub mod store;
pub mod stored;
pub mod subresource;
pub mod trail;

use std::sync::Arc;

use hyper::Response;

use self::context::{Cx, S3Request};
use crate::body::Body;
use crate::error::Error;
use crate::s3::operation::Operation;

/// Runs an authenticated request. Every operation is named: a new one does not compile until it
/// has been decided what happens to its bytes.
///
/// Each one's state is boxed: inline, the largest of them would be moved, up through every layer,
/// with each request.
pub async fn dispatch(cx: &Arc<Cx>, request: S3Request) -> Result<Response<Body>, Error> {
    match request.operation {
        Operation::GetObject => Box::pin(get_object::get_object(cx, request)).await,
        Operation::GetObjectAttributes => Box::pin(attributes::attributes(cx, request)).await,
        Operation::HeadObject => Box::pin(head_object::head_object(cx, request)).await,
        Operation::PutObject => Box::pin(put_object::put_object(cx, request)).await,
        Operation::PostObject => Box::pin(post_object::post_object(cx, request)).await,
        Operation::DeleteObject => Box::pin(delete_object::delete_object(cx, request)).await,
        Operation::DeleteObjects => Box::pin(delete_objects::delete_objects(cx, request)).await,
        Operation::ListObjects | Operation::ListObjectsV2 | Operation::ListObjectVersions => {
            Box::pin(list_objects::list_objects(cx, request)).await
        }
        Operation::CreateMultipartUpload => Box::pin(multipart::create::create(cx, request)).await,
        Operation::UploadPart => Box::pin(multipart::upload_part::upload_part(cx, request)).await,
        Operation::CompleteMultipartUpload => {
            let (id, metrics) = (request.id, Arc::clone(&cx.metrics));
            let cx = Arc::clone(cx);
            let work = Box::pin(async move { multipart::complete::complete(&cx, request).await });
            patience::patiently(id, metrics, work).await
        }
        Operation::CopyObject => {
            let (id, metrics) = (request.id, Arc::clone(&cx.metrics));
            let cx = Arc::clone(cx);
            let work = Box::pin(async move { copy::object::copy_object(&cx, request).await });
            patience::patiently(id, metrics, work).await
        }
        Operation::UploadPartCopy => {
            let (id, metrics) = (request.id, Arc::clone(&cx.metrics));
            let cx = Arc::clone(cx);
            let work = async move { Box::pin(copy::part::upload_part_copy(&cx, request)).await };
            let work = Box::pin(work);
            patience::patiently(id, metrics, work).await
        }
        Operation::AbortMultipartUpload => Box::pin(multipart::abort::abort(cx, request)).await,
        Operation::ListParts => Box::pin(multipart::list_parts::list_parts(cx, request)).await,
        Operation::ListMultipartUploads => {
            Box::pin(multipart::list_uploads::list_uploads(cx, request)).await
        }
        Operation::UpdateObjectEncryption => {
            let (id, metrics) = (request.id, Arc::clone(&cx.metrics));
            let cx = Arc::clone(cx);
            let work = Box::pin(async move { copy::rewrap::update(&cx, request).await });
            patience::patiently(id, metrics, work).await
        }
        Operation::GetBucketEncryption => bucket_encryption::get(cx, &request),
        Operation::PutBucketEncryption => Box::pin(bucket_encryption::put(cx, request)).await,
        Operation::DeleteBucketEncryption => Err(bucket_encryption::change()),
        Operation::ListBuckets => Box::pin(list_buckets::list_buckets(cx, request)).await,
        Operation::Bucket(_)
        | Operation::Object(_)
        | Operation::CreateBucket
        | Operation::DeleteBucket
        | Operation::HeadBucket
        | Operation::RestoreObject => Box::pin(forward::forward(cx, request)).await,
        Operation::CreateSession
        | Operation::GetObjectTorrent
        // Answered before anybody is authenticated.
        | Operation::Preflight
        | Operation::RenameObject
        | Operation::SelectObjectContent
        | Operation::Unknown { .. }
        | Operation::WriteGetObjectResponse => Err(refuse::not_implemented(&request)),
    }
}
