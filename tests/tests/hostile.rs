//! Hostile clients, one theme to a module: what exactly they are answered, that a healthy client beside them notices nothing, and that they
//! leave neither memory nor descriptors behind. Where a theme has a server of its own, see `slimy_rt_tests::arena`.

#[path = "hostile/autobahn.rs"]
mod autobahn;
#[path = "hostile/floods.rs"]
mod floods;
#[path = "hostile/frames.rs"]
mod frames;
#[path = "hostile/http.rs"]
mod http;
#[path = "hostile/origins.rs"]
mod origins;
#[path = "hostile/packets.rs"]
mod packets;
#[path = "hostile/redaction.rs"]
mod redaction;
#[path = "hostile/tokens.rs"]
mod tokens;
