//! What an event of the log costs whoever logs: without the layer, kept in the ring, and not wanted.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use slimy_rt::diagnostics::Logs;
use tracing::subscriber::with_default;
use tracing_subscriber::layer::SubscriberExt;

fn logs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log");
    let event =
        || tracing::info!(user = %black_box("u1"), address = %"127.0.0.1", count = 7, "connected");
    let unwanted =
        || tracing::debug!(user = %black_box("u1"), address = %"127.0.0.1", count = 7, "connected");
    group.bench_function("no layer", |bencher| bencher.iter(event));
    with_default(tracing_subscriber::registry(), || {
        group.bench_function("a registry alone", |bencher| bencher.iter(event));
    });
    let logs = Logs::new();
    with_default(tracing_subscriber::registry().with(logs.layer()), || {
        group.bench_function("kept", |bencher| bencher.iter(event));
        group.bench_function("not wanted", |bencher| bencher.iter(unwanted));
    });
    group.finish();
}

criterion_group!(benches, logs);
criterion_main!(benches);
