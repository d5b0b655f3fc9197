//! What an event of the log costs whoever logs: kept in the ring, kept while somebody follows it, and not wanted.

use std::hint::black_box;

use async_trait::async_trait;
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use slimy_rt::{
    UserId,
    api::{ApiState, LoginCookie},
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
    diagnostics::{Diagnostics, Logs},
    events::Namespace,
    server::{Server, SocketIoService},
};
use slimy_rt_benches::{criterion, two_threads};
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use tracing::subscriber::with_default;
use tracing_subscriber::layer::SubscriberExt;

fn event() {
    tracing::info!(user = %black_box("u1"), address = %"127.0.0.1", count = 7, "connected");
}

fn unwanted() {
    tracing::debug!(user = %black_box("u1"), address = %"127.0.0.1", count = 7, "connected");
}

fn logs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log");
    group.bench_function("no subscriber of tracing", |bencher| bencher.iter(event));
    with_default(tracing_subscriber::registry(), || {
        group.bench_function("a registry alone", |bencher| bencher.iter(event));
    });
    let logs = Logs::new();
    let subscriber = tracing_subscriber::registry().with(logs.layer());
    with_default(subscriber, || {
        group.bench_function("kept", |bencher| bencher.iter(event));
        group.bench_function("not wanted", |bencher| bencher.iter(unwanted));
        let runtime = two_threads();
        runtime.block_on(follow(logs.clone()));
        group.bench_function("kept and followed", |bencher| bencher.iter(event));
    });
    group.finish();
}

/// Has a client of a server follow the log, for as long as the runtime runs.
async fn follow(logs: Logs) {
    let diagnostics = Diagnostics::builder().logs(logs).build();
    let namespace = diagnostics.install(Namespace::new("/"));
    let server = Server::builder(Administrators).namespace(namespace).build();
    let server = server.expect("a server");
    let state = ApiState::new(server.clone(), LoginCookie::new("t"));
    tokio::spawn(diagnostics.run(state, CancellationToken::new()));
    let service = server.service();
    let open = call(&service, Method::GET, "", "").await;
    let sid = String::from_utf8_lossy(&open);
    let sid = sid.split('"').nth(3).expect("a session").to_owned();
    call(&service, Method::POST, &sid, "40").await;
    call(&service, Method::GET, &sid, "").await;
    call(&service, Method::POST, &sid, r#"420["logs:subscribe",{}]"#).await;
    let answer = call(&service, Method::GET, &sid, "").await;
    assert!(
        answer.starts_with(b"430[{"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    tokio::spawn(async move {
        loop {
            call(&service, Method::GET, &sid, "").await;
        }
    });
}

async fn call(service: &SocketIoService, method: Method, sid: &str, body: &'static str) -> Bytes {
    let sid = match sid {
        "" => String::new(),
        sid => format!("&sid={sid}"),
    };
    let target = format!("/socket.io/?EIO=4&transport=polling{sid}");
    let request = Request::builder().method(method).uri(target);
    let request = request.body(Full::<Bytes>::from(body)).expect("a request");
    let Ok(answer) = service.clone().call(request).await;
    let Ok(body) = answer.into_body().collect().await;
    body.to_bytes()
}

/// Whoever comes is one.
#[derive(Debug)]
struct Administrators;

#[async_trait]
impl Authenticator for Administrators {
    async fn authenticate(&self, _: &Handshake) -> Result<Identity, AuthError> {
        Ok(Identity::new(User::new(
            UserId::parse("bench")?,
            Role::Admin,
        )))
    }
}

criterion_group! { name = benches; config = criterion(); targets = logs }
criterion_main!(benches);
