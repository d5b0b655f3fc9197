//! A middleware has to say whether the event may pass.
use slimy_rt::events::{Event, Namespace};

async fn log(event: Event) {
    println!("{}", event.name());
}

fn main() {
    let _ = Namespace::new("/").event_middleware(log);
}
