//! Requests that are answered before all of their body was read, such as those of a stranger with a large one.
//! What is left of the body stands before the next request, so the connection is of no use any more; its client
//! is told so (RFC 9112, section 9.6), and does not lose a request by finding out.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Whether a body has been read to its end.
pub(crate) struct Unread(Option<Arc<AtomicBool>>);

impl Unread {
    /// Watches the body of a request, where it has one.
    pub(crate) fn watch(request: Request) -> (Request, Self) {
        if request.body().is_end_stream() {
            return (request, Self(None));
        }
        let unread = Arc::new(AtomicBool::new(true));
        let request = request.map(|body| Body::new(Watched { body, unread: Arc::clone(&unread) }));
        (request, Self(Some(unread)))
    }

    /// Says in the answer that the connection ends, where the body was not read to its end.
    pub(crate) fn close_connection(self, mut response: Response) -> Response {
        if self.0.is_some_and(|unread| unread.load(Ordering::Relaxed)) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A body that tells when it has been read to its end.
struct Watched {
    body: Body,
    unread: Arc<AtomicBool>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.unread.store(false, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::response::IntoResponse as _;

    use super::*;
    use crate::extract;

    /// What the answer says of the connection when so many bytes of this body are taken.
    async fn said(body: &'static str, limit: Option<usize>) -> Option<HeaderValue> {
        let (request, unread) = Unread::watch(Request::new(Body::from(body)));
        if let Some(limit) = limit {
            let _ = extract::read(request.into_body(), limit).await;
        }
        let answer = unread.close_connection(StatusCode::UNAUTHORIZED.into_response());
        answer.headers().get(header::CONNECTION).cloned()
    }

    #[tokio::test]
    async fn who_is_refused_before_the_body_was_read_is_told_that_the_connection_ends() {
        assert_eq!(said("a body", None).await, Some(HeaderValue::from_static("close")));
        assert_eq!(said("a body", Some(100)).await, None);
        assert_eq!(said("", None).await, None);
    }
}
