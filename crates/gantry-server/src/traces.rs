//! Traces, for who has said where they go: a span of each request, of each transaction of the store and of
//! each job, sent in batches to an OpenTelemetry collector (OTLP over HTTP). Where nobody has said so there is
//! no thread, no queue and no span.
//!
//! Spans are made with `tracing`, under a target of their own: the log never has them, and they never have
//! what the log says. So they have no more than what is put into them here and where [`TARGET`] is named: names
//! of routes, of clients and of operators, and no value of a request.

mod collector;

use std::env;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use fleet_domain::ids::{ClientId, OperatorName};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, Protocol, SpanExporter,
    WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter as _};
use tracing::field::{Empty, display};
use tracing::level_filters::LevelFilter;
use tracing::{Instrument as _, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{Directive, Targets};
use tracing_subscriber::registry::LookupSpan;

use self::collector::{Collector, Trouble};
use crate::config::TracesConfig;
use crate::problem::Problem;

/// Of all spans that are for traces. `fleet-store` has the same word.
pub(crate) const TARGET: &str = "traces";

const SERVICE: &str = "gantry-server";
/// Where below its endpoint a collector takes traces.
const TRACES_PATH: &str = "v1/traces";
/// How long a server that stops waits for the collector to take the last spans.
const LAST_WORDS: Duration = Duration::from_secs(3);

tokio::task_local! {
    /// The span of the request that is answered.
    static REQUEST: Span;
}

/// Sends spans to a collector.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Begins to send, if somebody has said where to.
    pub(crate) fn start(config: &TracesConfig) -> Result<Option<Self>> {
        if !are_wanted(config) {
            return Ok(None);
        }
        let (exporter, _) = exporter(config)?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource())
            .build();
        Ok(Some(Self { provider }))
    }

    /// What makes spans of what `tracing` is told under [`TARGET`].
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(SERVICE))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(TARGET, LevelFilter::TRACE))
    }

    /// Sends what is left, as far as the collector takes it soon.
    pub(crate) fn stop(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST_WORDS) {
            tracing::warn!(error = error.to_string(), "the last traces were not taken");
        }
    }
}

/// Whether somebody has said where traces go: the configuration, or the variables that OpenTelemetry knows.
pub(crate) fn are_wanted(config: &TracesConfig) -> bool {
    let says = |name: &str| env::var(name).is_ok_and(|it| !it.trim().is_empty());
    let is = |name: &str, word: &str| env::var(name).is_ok_and(|it| it.eq_ignore_ascii_case(word));
    let endpoint = config.endpoint.is_some()
        || says(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)
        || says(OTEL_EXPORTER_OTLP_ENDPOINT);
    endpoint && !is("OTEL_SDK_DISABLED", "true") && !is("OTEL_TRACES_EXPORTER", "none")
}

/// Sends the collector no spans, as it sends all others, and says why it did not take them.
pub(crate) async fn check(config: &TracesConfig) -> Result<()> {
    let (exporter, trouble) = exporter(config)?;
    match exporter.export(Vec::new()).await {
        Ok(()) => Ok(()),
        Err(error) => bail!(trouble.why().unwrap_or_else(|| error.to_string())),
    }
}

/// What keeps spans for traces out of the log, whatever its level.
pub(crate) fn not_logged() -> Directive {
    let directive = format!("{TARGET}=off");
    directive.parse().expect("a target and a level are a directive")
}

fn exporter(config: &TracesConfig) -> Result<(SpanExporter, Trouble)> {
    let endpoint = config.endpoint.as_ref().map(|it| it.trim_end_matches('/'));
    let ca = config.ca.clone().or_else(|| {
        let of_traces = env::var_os("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE");
        of_traces.or_else(|| env::var_os("OTEL_EXPORTER_OTLP_CERTIFICATE")).map(Into::into)
    });
    let collector = Collector::new(ca.as_deref())?;
    let trouble = collector.trouble();
    let builder = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(collector);
    let builder = match endpoint {
        Some(endpoint) => builder.with_endpoint(format!("{endpoint}/{TRACES_PATH}")),
        // The exporter reads the variables by itself.
        None => builder,
    };
    Ok((builder.build().context("preparing to send traces")?, trouble))
}

/// Who sends the spans: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` go before our own name.
fn resource() -> Resource {
    let said = Resource::builder().build();
    let name = said.get(&"service.name".into()).map(|it| it.to_string()).unwrap_or_default();
    if name.is_empty() || name.starts_with("unknown_service") {
        return Resource::builder().with_service_name(SERVICE).build();
    }
    said
}

/// The span of a request. A caller of the operator API may say which trace it belongs to (`traceparent`); a
/// device may not, since its owner has no part in the traces of the fleet manager.
pub(crate) fn of_request(request: &Request) -> Span {
    let method = method(request.method());
    let span = tracing::trace_span!(
        target: TARGET,
        "request",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = Empty,
        http.response.status_code = Empty,
        "error.type" = Empty,
        gantry.client = Empty,
        gantry.operator = Empty,
    );
    if !span.is_disabled() && request.uri().path().starts_with(operator_api::BASE_PATH) {
        let parent = TraceContextPropagator::new().extract(&Headers(request.headers()));
        // It fails only for a span that has begun, and this one has not.
        let _ = span.set_parent(parent);
    }
    span
}

/// Answers a request inside of its span.
pub(crate) async fn follow(span: Span, answer: impl Future<Output = Response>) -> Response {
    if span.is_disabled() {
        return answer.await;
    }
    let response = Box::pin(REQUEST.scope(span.clone(), answer.instrument(span.clone()))).await;
    let status = response.status();
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if let Some(problem) = response.extensions().get::<Problem>() {
        span.record("error.type", problem.reason().name());
    }
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    response
}

/// The request that is answered is of this route.
pub(crate) fn matched(method: &str, route: &str) {
    let _ = REQUEST.try_with(|span| {
        // A span that has begun takes no other name by way of its fields.
        span.context().span().update_name(format!("{method} {route}"));
        span.record("http.route", route);
    });
}

/// The request that is answered is by this client.
pub(crate) fn by_client(client: ClientId) {
    let _ = REQUEST.try_with(|span| {
        span.record("gantry.client", display(client));
    });
}

/// The request that is answered is by this operator.
pub(crate) fn by_operator(operator: &OperatorName) {
    let _ = REQUEST.try_with(|span| {
        span.record("gantry.operator", display(operator));
    });
}

/// None that a caller has made up.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

/// Where a caller says which trace the request belongs to.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}
