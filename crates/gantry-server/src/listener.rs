//! Accepts TLS connections and serves HTTP/1.1 on them, inside bounds, until it is told to stop.

mod patience;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::{Service, ServiceExt as _};

use crate::metrics::Connections;
use patience::Patient;

const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
const HEADER_PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take nothing of an answer. The slowest mobile lines stall for minutes.
const WRITE_PATIENCE: Duration = Duration::from_secs(5 * 60);
const LARGEST_HEADERS: usize = 64 << 10;
const GOODBYE_PATIENCE: Duration = Duration::from_secs(20);

/// Put into an answer after which its client has most likely nothing more to ask or to tell now: that nothing is
/// new, or that its last report is taken. So has an answer of the status 304.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NothingMore;

/// Where a request comes from, for the log. Nothing is decided by it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What answers requests. It always has an answer, if only of an error.
pub(crate) trait Serve:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Serve for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// How many connections there may be, and what counts them.
pub(crate) struct ConnectionLimit {
    pub(crate) most: NonZeroU32,
    pub(crate) counters: Connections,
}

/// Serves until `stop` is done; then lets running requests end, for a while.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    service: impl Serve,
    limit: ConnectionLimit,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let acceptor = TlsAcceptor::from(tls);
    let ConnectionLimit { most, counters } = limit;
    let most = usize::try_from(most.get()).unwrap_or(Semaphore::MAX_PERMITS);
    let connections = Arc::new(Semaphore::new(most));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_buf_size(LARGEST_HEADERS);
    tokio::pin!(stop);
    loop {
        // Room first: who cannot be served waits in the kernel's queue.
        if connections.available_permits() == 0 {
            counters.limit_reached();
        }
        let room = Arc::clone(&connections).acquire_owned();
        let (permit, stream) = tokio::select! {
            () = &mut stop => break,
            accepted = async { (room.await, listener.accept().await) } => accepted,
        };
        let permit = permit.context("counting connections")?;
        let (stream, peer) = match stream {
            Ok(accepted) => accepted,
            Err(error) => {
                // Such as too many open files: it passes, and a tight loop would not help it.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, service, http) = (acceptor.clone(), service.clone(), http.clone());
        let (watcher, counters) = (graceful.watcher(), counters.clone());
        let connections = Arc::clone(&connections);
        tokio::spawn(async move {
            let _held = (permit, counters.accept());
            let Some(stream) = handshake(&acceptor, stream).await else {
                return counters.handshake_failed();
            };
            let service =
                service.map_request(move |request: hyper::Request<hyper::body::Incoming>| {
                    let mut request = request.map(Body::new);
                    request.extensions_mut().insert(Peer(peer));
                    request
                });
            let service =
                TowerToHyperService::new(service.map_response(move |mut response: Response| {
                    let open = most.saturating_sub(connections.available_permits());
                    if is_last(&response, open, most) {
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(header::CONNECTION, close);
                    }
                    response
                }));
            let connection = http.serve_connection(TokioIo::new(stream), service);
            if let Err(error) = watcher.watch(connection).await {
                counters.failed(&error);
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(GOODBYE_PATIENCE) => {
            tracing::warn!("some requests did not end in time and are cut off");
        }
    }
    Ok(())
}

/// Whether an answer ends its connection, of so many that are open and may be. A device leaves one open that
/// it will not use again in time: those of a large fleet would take the memory, and in the end the room, of
/// clients that have something to say.
fn is_last(answer: &Response, open: usize, most: usize) -> bool {
    let is_nothing_more = answer.status() == StatusCode::NOT_MODIFIED
        || answer.extensions().get::<NothingMore>().is_some();
    open > most / 2 || (is_nothing_more && open > most / 8)
}

async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
) -> Option<tokio_rustls::server::TlsStream<Patient<TcpStream>>> {
    // Small answers must not wait for more to come.
    let _ = stream.set_nodelay(true);
    let stream = Patient::new(stream, WRITE_PATIENCE);
    match tokio::time::timeout(HANDSHAKE_PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!("a TLS handshake took too long");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    #[test]
    fn the_more_connections_are_open_the_fewer_stay_open() {
        let is_last = |answer: Response, open| super::is_last(&answer, open, 80);
        let news = || StatusCode::OK.into_response();
        let nothing_new = || StatusCode::NOT_MODIFIED.into_response();
        assert!(!is_last(nothing_new(), 10));
        assert!(is_last(nothing_new(), 11));
        let mut of_git = news();
        of_git.extensions_mut().insert(NothingMore);
        assert!(is_last(of_git, 11));
        assert!(!is_last(news(), 40));
        assert!(is_last(news(), 41));
    }
}
