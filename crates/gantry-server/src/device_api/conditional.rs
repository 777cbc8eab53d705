//! Conditional and range requests and content negotiation, as far as the device API has them, and how the
//! OpenAPI document tells of them.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fleet_domain::ids::Sha256;
use margo_contract::problem::ProblemType;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Content, RefOr, Required, Response as DescribedResponse};

use crate::openapi::{self, Routes};
use crate::problem::{Problem, Reason};

/// A client has one manifest.
const MOST_DIGESTS: usize = 4;

/// Bytes with a strong entity tag.
pub(crate) struct Tagged {
    pub(crate) bytes: Bytes,
    /// In quotes.
    pub(crate) etag: String,
    pub(crate) content_type: &'static str,
    pub(crate) cache_control: &'static str,
}

impl Tagged {
    /// 304 without a body when the client has these bytes, 206 with those that it lacks, else 200
    /// (RFC 9110 section 14).
    // margo(SM-1, K-1, K-4)
    pub(crate) fn answer(mut self, request: &HeaderMap) -> Response {
        if has(request, &self.etag) {
            return not_modified(&self.etag, self.cache_control);
        }
        let range = self.range(request);
        let response = self.body(range);
        tagged(response, &self.etag, self.cache_control)
    }

    /// From which byte on the client wants the rest of what it has begun to fetch. What it has of
    /// other bytes is of no use, so those are sent as a whole; so are ranges of other forms.
    fn range(&self, request: &HeaderMap) -> Option<u64> {
        let text = |name| request.get(name)?.to_str().ok();
        let from = text(header::RANGE)?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()?;
        match text(header::IF_RANGE) {
            Some(tag) if tag != self.etag => None,
            _ => Some(from),
        }
    }

    fn body(&mut self, range: Option<u64>) -> Response {
        let length = self.bytes.len();
        let bytes = std::mem::take(&mut self.bytes);
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        let Some(from) = range else { return ([content_type], Body::from(bytes)).into_response() };
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        if from >= length {
            let range = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
            let detail = format!("there are {length} bytes and no more");
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            return (range, Problem::new(ProblemType::Blank, status, Reason::NotFound, detail))
                .into_response();
        }
        let last = length - 1;
        let range = [(header::CONTENT_RANGE, format!("bytes {from}-{last}/{length}"))];
        let rest = Body::from(bytes.slice(from..));
        (StatusCode::PARTIAL_CONTENT, range, [content_type], rest).into_response()
    }
}

/// Whether the client says that it has what has this entity tag margo(K-4).
pub(crate) fn has(request: &HeaderMap, etag: &str) -> bool {
    request.get_all(header::IF_NONE_MATCH).iter().any(|line| {
        line.to_str()
            .is_ok_and(|line| line.split(',').map(str::trim).any(|tag| tag == "*" || tag == etag))
    })
}

/// The digests among the entity tags of what the client has; of many only a few.
pub(crate) fn digests(request: &HeaderMap) -> Vec<Sha256> {
    let lines = request.get_all(header::IF_NONE_MATCH).iter();
    let tags = lines.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(','));
    tags.filter_map(|it| it.trim().trim_matches('"').parse().ok()).take(MOST_DIGESTS).collect()
}

/// 304 for a client that [`has`] it.
pub(crate) fn not_modified(etag: &str, cache_control: &'static str) -> Response {
    tagged(StatusCode::NOT_MODIFIED.into_response(), etag, cache_control)
}

fn tagged(mut response: Response, etag: &str, cache_control: &'static str) -> Response {
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
    response
}

/// Adds to operations whose handlers answer with [`Tagged`] bytes what that means for them.
pub(super) fn describe(mut routes: Routes) -> Routes {
    for operation in openapi::operations(&mut routes.1) {
        describe_headers(operation);
        describe_answers(operation);
    }
    routes
}

fn describe_headers(operation: &mut Operation) {
    for (name, description) in [
        ("If-None-Match", "The tags of what the client has: none of it is sent again (RFC 9110)."),
        ("Range", "`bytes=<from>-`: only the rest is sent. Other forms are passed over."),
        (
            "If-Range",
            "The tag of what the client has the beginning of: of anything else all is sent.",
        ),
    ] {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(text));
        operation.parameters.get_or_insert_default().push(RefOr::T(parameter.build()));
    }
}

fn describe_answers(operation: &mut Operation) {
    let answers = &mut operation.responses.responses;
    let Some(RefOr::T(whole)) = answers.get_mut("200") else { return };
    let header = |text| RefOr::T(openapi::header(text));
    let etag = header("The digest in quotes, a strong tag.");
    whole.headers.insert("ETag".to_owned(), etag.clone());
    whole.headers.insert("Cache-Control".to_owned(), header("How long it may be kept."));
    let mut rest = whole.clone();
    "the rest, from the byte that was asked for".clone_into(&mut rest.description);
    for content in rest.content.values_mut() {
        // A part of a document is none.
        *content = RefOr::T(Content::default());
    }
    rest.headers.insert("Content-Range".to_owned(), header("Which bytes these are, of how many."));
    let mut nothing = DescribedResponse::new("the client has it already");
    nothing.headers.insert("ETag".to_owned(), etag);
    let mut beyond = DescribedResponse::new("there are not so many bytes");
    beyond.headers.insert("Content-Range".to_owned(), header("How many there are."));
    for (status, answer) in [("206", rest), ("304", nothing), ("416", beyond)] {
        answers.insert(status.to_owned(), RefOr::T(answer));
    }
}

/// Whether `Accept` takes this media type, margo(SM-2). No `Accept` takes everything.
pub(crate) fn accepts(request: &HeaderMap, media_type: &str) -> bool {
    let mut lines = request.get_all(header::ACCEPT).iter().peekable();
    if lines.peek().is_none() {
        return true;
    }
    let mut best: Option<(u8, bool)> = None;
    for range in lines.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let specificity = match parts.next().unwrap_or_default() {
            name if name.eq_ignore_ascii_case(media_type) => 2,
            "application/*" => 1,
            "*/*" => 0,
            _ => continue,
        };
        let refused = parts
            .filter_map(|it| it.strip_prefix("q=").or_else(|| it.strip_prefix("Q=")))
            .any(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
        if best.is_none_or(|(known, _)| specificity >= known) {
            best = Some((specificity, !refused));
        }
    }
    best.is_some_and(|(_, accepted)| accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&str, &str)]) -> Response {
        let name = |it: &str| it.parse::<header::HeaderName>().expect("a name");
        let headers =
            headers.iter().map(|(it, value)| (name(it), value.parse().expect("a header")));
        let bytes = Tagged {
            bytes: Bytes::from_static(b"a package"),
            etag: "\"7\"".to_owned(),
            content_type: "application/gzip",
            cache_control: "private",
        };
        bytes.answer(&headers.collect())
    }

    // RFC 9110 sections 13.1.5 and 14.
    #[test]
    fn who_has_the_beginning_gets_the_rest_and_who_has_that_of_something_else_gets_all() {
        let range = |answer: &Response| answer.headers().get(header::CONTENT_RANGE).cloned();
        for headers in
            [&[("range", "bytes=2-")][..], &[("range", "bytes=2-"), ("if-range", "\"7\"")]]
        {
            let answer = asked(headers);
            assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
            assert_eq!(range(&answer), Some(HeaderValue::from_static("bytes 2-8/9")));
            assert_eq!(answer.headers()[header::ETAG], "\"7\"");
        }
        for headers in [
            &[][..],
            &[("range", "bytes=2-"), ("if-range", "\"6\"")],
            &[("range", "bytes=2-3")],
            &[("range", "bytes=-3")],
            &[("range", "lines=2-")],
        ] {
            let answer = asked(headers);
            assert_eq!((answer.status(), range(&answer)), (StatusCode::OK, None), "{headers:?}");
        }
        let answer = asked(&[("range", "bytes=9-")]);
        assert_eq!(answer.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(range(&answer), Some(HeaderValue::from_static("bytes */9")));
    }

    #[test]
    fn the_digests_among_tags_are_read() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let mut headers = HeaderMap::new();
        let line = format!("\"7\", \"{digest}\", *, W/\"{digest}\"");
        headers.insert(header::IF_NONE_MATCH, line.parse().expect("a header"));
        assert_eq!(digests(&headers), [digest.parse().expect("a digest")]);
        let many = vec![format!("\"{digest}\""); 100].join(",");
        headers.insert(header::IF_NONE_MATCH, many.parse().expect("a header"));
        assert_eq!(digests(&headers).len(), MOST_DIGESTS);
    }

    // margo(SM-2)
    #[test]
    fn the_most_specific_range_decides() {
        let accepts = |line: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, line.parse().expect("a header"));
            super::accepts(&headers, "application/x")
        };
        for good in
            ["application/x", "*/*", "application/*;q=0.1", "text/html, */*", "APPLICATION/X"]
        {
            assert!(accepts(good), "{good}");
        }
        for bad in
            ["text/html", "application/x;q=0", "*/*, application/x;q=0", "application/json", ""]
        {
            assert!(!accepts(bad), "{bad}");
        }
        assert!(super::accepts(&HeaderMap::new(), "application/x"));
    }
}
