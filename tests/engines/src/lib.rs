//! Private Redis and PostgreSQL servers, and a TCP proxy, for tests.
//!
//! A server listens on a free port of 127.0.0.1, keeps its files in a directory of its own, and never outlives the test program: dropping it
//! stops it, and so does the end of the process, however it comes. The programs are Debian's packages `redis-server` and `postgresql`; nothing that
//! already runs on the machine is used or touched.
//!
//! Whatever fails panics with what to do about it: there is nothing that a test could do instead.
//!
//! ```no_run
//! # async fn test() {
//! use slimy_rt_test_engines::{Postgres, Proxy, Redis};
//!
//! let redis = Redis::start().await;
//! let proxy = Proxy::start(redis.addr()).await;
//! let through_the_proxy = redis.url_at(proxy.port());
//! proxy.cut().await;
//! redis.kill().await;
//! redis.start_again().await;
//!
//! let postgres = Postgres::start().await;
//! let url = postgres.create_database().await;
//! # }
//! ```

mod directory;
mod port;
mod postgres;
mod process;
mod proxy;
mod redis;
mod resp;
mod template;
mod tls;

pub use self::{
    postgres::{Postgres, PostgresBuilder},
    proxy::{Proxy, Traffic},
    redis::{Redis, RedisBuilder},
    resp::Reply,
    tls::Certificates,
};
