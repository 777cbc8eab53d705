//! Arguments of handlers that answer with a [`Problem`] when the request does not have them.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::problem::{Problem, Reason};

/// The variable segments of the path.
pub(crate) struct Path<T>(pub(crate) T);

/// The query.
pub(crate) struct Query<T>(pub(crate) T);

/// A body of a size that any request may have.
pub(crate) struct Bytes(pub(crate) axum::body::Bytes);

/// A JSON body of a known type.
pub(crate) struct Json<T>(pub(crate) T);

/// The bytes of a body that says it is JSON.
pub(crate) struct JsonBytes(pub(crate) axum::body::Bytes);

/// The largest body but for uploads, in bytes, margo(E-4). More than any fetch from a linear
/// history needs, too.
pub(crate) const LARGEST_BODY: usize = 1 << 20;

/// A body up to this size, in bytes, needs no room of those below. What devices send by themselves is smaller.
const SMALL_BODY: usize = 16 << 10;
/// Room for bodies that arrive, in KiB: whoever sends large ones slowly must not use up the memory.
static ROOM_FOR_LARGE_BODIES: Semaphore = Semaphore::const_new(256 << 10);

const JSON: &str = "application/json";

/// The media type of a body: in lower case, and without its parameters.
// margo(E-4)
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let essence = content_type.and_then(|it| it.split(';').next()).unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // An id that is none names nothing.
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(it)| Self(it))
            .map_err(|_| Problem::not_found("there is nothing at this path"))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(it)| Self(it))
            .map_err(|error| Problem::malformed(error.body_text()))
    }
}

impl<S: Send + Sync> FromRequest<S> for Bytes {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        read(request.into_body(), LARGEST_BODY).await.map(Self)
    }
}

/// Reads a whole body of at most `limit` bytes. Of a larger one the rest is thrown away, up to twice as
/// much: a client that is cut off while it still sends would not see the answer.
pub(crate) async fn read(body: Body, limit: usize) -> Result<axum::body::Bytes, Problem> {
    let (mut frames, mut bytes, mut thrown_away) = (body.into_data_stream(), Vec::new(), 0);
    let mut room = None;
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|_| Problem::malformed("the body cannot be read"))?;
        if room.is_none() && bytes.len() + frame.len() > SMALL_BODY {
            let kibibytes = u32::try_from(limit >> 10).unwrap_or(u32::MAX);
            let free = ROOM_FOR_LARGE_BODIES.try_acquire_many(kibibytes);
            let none = |_| {
                let detail = "too many large bodies arrive at this moment";
                Problem::unavailable(Reason::Overload, detail)
            };
            room = Some(free.map_err(none)?);
        }
        if thrown_away == 0 && bytes.len() + frame.len() <= limit {
            bytes.extend_from_slice(&frame);
            continue;
        }
        thrown_away += frame.len();
        if thrown_away > 2 * limit {
            break;
        }
    }
    if thrown_away > 0 { Err(Problem::too_large(limit)) } else { Ok(bytes.into()) }
}

/// Refuses a body that has to be decoded first.
pub(crate) fn refuse_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.all(|it| it.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    Err(Problem::unsupported_encoding())
}

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        // It is read whatever it is: who is cut off while it still sends would not see why.
        let body = read(body, LARGEST_BODY).await?;
        refuse_encoding(&parts.headers)?;
        if media_type(&parts.headers) != JSON {
            return Err(Problem::unsupported_media_type(JSON));
        }
        Ok(Self(body))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let JsonBytes(bytes) = JsonBytes::from_request(request, state).await?;
        // Serde would take the values of a list for the fields of an object.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::malformed("the body has to be a JSON object"));
        }
        let read = serde_json::from_slice(&bytes).map(Self);
        read.map_err(|error| Problem::unreadable_json(&error))
    }
}
