//! Conditional requests and content negotiation, as far as the device API has them.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Bytes with a strong entity tag.
pub(crate) struct Tagged {
    pub(crate) bytes: Vec<u8>,
    /// In quotes.
    pub(crate) etag: String,
    pub(crate) content_type: &'static str,
    pub(crate) cache_control: &'static str,
}

impl Tagged {
    /// 304 without a body when the client has these bytes, else 200 (contract §6.1, K-4).
    pub(crate) fn answer(self, request: &HeaderMap) -> Response {
        let has_it = request.get_all(header::IF_NONE_MATCH).iter().any(|line| {
            line.to_str().is_ok_and(|line| {
                line.split(',').map(str::trim).any(|tag| tag == "*" || tag == self.etag)
            })
        });
        let mut response = if has_it {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let content_type = HeaderValue::from_static(self.content_type);
            ([(header::CONTENT_TYPE, content_type)], Body::from(self.bytes)).into_response()
        };
        let headers = response.headers_mut();
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            headers.insert(header::ETAG, etag);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.cache_control));
        response
    }
}

/// Whether `Accept` takes this media type (contract §6.1). No `Accept` takes everything.
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
