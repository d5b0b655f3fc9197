//! One event to all members of a room: whole, over real sockets, and the server's own part of it alone.
//!
//! * `loopback/<members>`: from `emit` until every member has read the event. An iteration is 16 events in flight, elements are deliveries.
//!   Inside: framing, registry, outbox, the kernel's sending and receiving, and the clients' reading, on the same cores. JSON was serialised before.
//! * `outbox`: the same for clients whose requests are function calls (`in_process.rs`), on one thread, without a socket or a write. An
//!   iteration is 64 events, elements are deliveries.
//!   * `append`: framing, the registry's lock and lookup, the shard's walk over the members, a reference to the shared frame in each
//!     member's mailbox, and waking the member's task, which finds no GET to answer. The outbox of a WebSocket has no mailbox, so no lock
//!     and no waking either. A member is woken once in a turn of the shard (16,384 deliveries): 1,000 of them for every sixteenth event,
//!     10,000 for every one or two.
//!   * `append to four rooms`: all members are in each, so each is found four times and reached once.
//!   * `append and take`: with a GET of each member for the 64 events, which copies the packets into the answer's body; HTTP is not parsed.
//! * `registry`, on the same clients: `join/<members>x<rooms>` and `leave`, from the calls until the shard has changed its lists; elements are
//!   joins and leaves. `publish to nobody`: framing, lock and lookup of one event to an empty room.

use std::cell::LazyCell;

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use slimy_rt::Room;
use slimy_rt_benches::{Emptying, InProcess, Loopback, criterion, raise_open_files, room};

const MEMBERS: [usize; 4] = [10, 100, 1_000, 10_000];
/// Members, and rooms that each of them joins and leaves.
const MEMBERSHIPS: [(usize, usize); 3] = [(1_000, 1), (10_000, 1), (1_000, 100)];

fn loopback(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("loopback");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for members in MEMBERS {
        if let Err(reason) = raise_open_files(members) {
            eprintln!("loopback/{members} is skipped: {reason}");
            continue;
        }
        let field = LazyCell::new(|| Loopback::new(members));
        group.throughput(Throughput::Elements(Loopback::WINDOW * members as u64));
        group.bench_function(BenchmarkId::from_parameter(members), |b| {
            // Made before criterion looks at its clock, and only if this bench was asked for.
            let field = &*field;
            b.iter_custom(|windows| field.broadcast(windows));
        });
    }
    group.finish();
}

fn outbox(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbox");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let rooms: [Room; 4] = std::array::from_fn(room);
    for members in MEMBERS {
        let field = LazyCell::new(|| InProcess::new(members).joined(&rooms));
        group.throughput(Throughput::Elements(InProcess::BATCH * members as u64));
        for (name, rooms, emptying) in [
            ("append", &rooms[..1], Emptying::Apart),
            ("append to four rooms", &rooms[..], Emptying::Apart),
            ("append and take", &rooms[..1], Emptying::Measured),
        ] {
            group.bench_function(BenchmarkId::new(name, members), |b| {
                let field = &*field;
                b.iter_custom(|batches| {
                    let once = |_| field.broadcast(rooms, emptying);
                    (0..batches).map(once).sum()
                });
            });
        }
    }
    group.finish();
}

fn registry(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("registry");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for (members, rooms) in MEMBERSHIPS {
        let size = format!("{members}x{rooms}");
        let rooms: Vec<Room> = (0..rooms).map(room).collect();
        let field = LazyCell::new(|| InProcess::new(members));
        group.throughput(Throughput::Elements((members * rooms.len()) as u64));
        group.bench_function(BenchmarkId::new("join", &size), |b| {
            let field = &*field;
            let once = |_| {
                let spent = field.join(&rooms);
                field.leave(&rooms);
                spent
            };
            b.iter_custom(|times| (0..times).map(once).sum());
        });
        group.bench_function(BenchmarkId::new("leave", &size), |b| {
            let field = &*field;
            let once = |_| {
                field.join(&rooms);
                field.leave(&rooms)
            };
            b.iter_custom(|times| (0..times).map(once).sum());
        });
    }
    let field = LazyCell::new(|| InProcess::new(1));
    let empty = room(0);
    group.throughput(Throughput::Elements(1));
    group.bench_function("publish to nobody", |b| {
        let field = &*field;
        b.iter(|| field.publish_to_nobody(&empty));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = loopback, outbox, registry
}
criterion_main!(benches);
