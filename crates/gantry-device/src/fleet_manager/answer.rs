//! An answer while it comes in: whether it can be one at all, and never more of it than its bound.

use std::io::Read;

use margo_contract::problem::{Problem, ProblemType};
use serde::Deserialize;
use ureq::BodyReader;
use ureq::http::{HeaderMap, Response};

use super::ask::is_web_page;
use super::{Ask, LinkError, retry_after};
use crate::gate::Permit;

/// The largest problem that is read, in bytes; the rest of it is left.
const LARGEST_PROBLEM: u64 = 64 << 10;
/// The longest text of a problem, in characters.
const LONGEST_DETAIL: usize = 500;
const WEB_PAGE: &str = "it is a web page; a captive portal or proxy answers in its place";

/// The beginning of an answer, whatever it is.
pub(crate) struct Arrived {
    pub(super) answer: Response<ureq::Body>,
    /// The request is under way until all of the answer is there.
    pub(super) permit: Option<Permit>,
}

/// A successful answer, whose body has yet to be read.
pub(crate) struct Incoming {
    status: u16,
    headers: HeaderMap,
    body: BodyReader<'static>,
    _permit: Option<Permit>,
}

/// What the fleet manager answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Arrived {
    pub(crate) fn status(&self) -> u16 {
        self.answer.status().as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        text(self.answer.headers(), name)
    }

    /// A header that may be there several times.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.answer.headers().get_all(name).iter().filter_map(|it| it.to_str().ok())
    }
}

impl Incoming {
    /// Takes an answer that can be what was asked for; `server_ms` is the server's time.
    // margo(X-04, S-5)
    pub(super) fn of(ask: Ask, arrived: Arrived, server_ms: i64) -> Result<Self, LinkError> {
        let Arrived { answer, permit } = arrived;
        let (parts, body) = answer.into_parts();
        let (status, headers) = (parts.status.as_u16(), parts.headers);
        match status {
            200..=299 => check_form(ask, &headers)?,
            304 if matches!(ask, Ask::Manifest | Ask::LastWord) => {}
            300..=399 => return Err(redirect(&headers)),
            _ => return Err(refusal(status, &headers, body, server_ms)),
        }
        let body = body.into_with_config().limit(ask.largest()).reader();
        Ok(Self { status, headers, body, _permit: permit })
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    /// Reads the whole of it.
    pub(crate) fn read(mut self) -> Result<Answer, LinkError> {
        let mut body = Vec::new();
        self.body.read_to_end(&mut body)?;
        Ok(Answer { status: self.status, headers: self.headers, body })
    }

    /// The next piece of it; none after the last.
    pub(crate) fn read_piece(&mut self, piece: &mut [u8]) -> Result<usize, LinkError> {
        Ok(self.body.read(piece)?)
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// In lower case and without parameters; empty where there is none.
fn media_type(headers: &HeaderMap) -> String {
    let value = text(headers, "content-type").unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn check_form(ask: Ask, headers: &HeaderMap) -> Result<(), LinkError> {
    let encoding = text(headers, "content-encoding").unwrap_or("identity");
    if !encoding.eq_ignore_ascii_case("identity") {
        // Nothing is unpacked here, so nothing can swell.
        let what = format!("it is encoded as `{}`, unasked", shown(encoding));
        return Err(LinkError::Nonsense(what));
    }
    let media_type = media_type(headers);
    if is_web_page(&media_type) {
        return Err(LinkError::Nonsense(WEB_PAGE.to_owned()));
    }
    if !media_type.is_empty() && !ask.takes(&media_type) {
        let what = format!("its type is `{}`, which was not asked for", shown(&media_type));
        return Err(LinkError::Nonsense(what));
    }
    Ok(())
}

fn redirect(headers: &HeaderMap) -> LinkError {
    let to = shown(text(headers, "location").unwrap_or("nowhere"));
    LinkError::Nonsense(format!(
        "it is a redirect to {to}, and redirects are never followed; a captive portal or proxy may \
         answer in its place, or server.url is not right"
    ))
}

// margo(ER-3, PD-1, RT-2)
fn refusal(status: u16, headers: &HeaderMap, body: ureq::Body, server_ms: i64) -> LinkError {
    #[derive(Default, Deserialize)]
    struct Says {
        retryable: Option<bool>,
    }
    let (mut bytes, body) = (Vec::new(), body.into_reader());
    // Half a problem says as much as none: the status counts.
    let _ = body.take(LARGEST_PROBLEM).read_to_end(&mut bytes);
    let problem: Problem = serde_json::from_slice(&bytes).unwrap_or_default();
    let says: Says = serde_json::from_slice(&bytes).unwrap_or_default();
    let retry_after = retry_after::pause(text(headers, "retry-after"), &problem, server_ms);
    let kind = ProblemType::parse(&problem.type_uri);
    let detail = if is_web_page(&media_type(headers)) {
        WEB_PAGE.to_owned()
    } else {
        problem.detail.or(problem.message).unwrap_or(problem.title)
    };
    LinkError::Refused {
        status,
        kind,
        detail: shown(&detail),
        retry_after,
        retryable: retry_after::is_retryable(status, says.retryable),
    }
}

/// What a stranger wrote, fit for a log.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(LONGEST_DETAIL).collect()
}
