//! A payload comes with an event: a socket that connects has none.
use slimy_rt::events::{Namespace, Payload};

async fn joined(Payload(text): Payload<String>) {
    println!("{text}");
}

fn main() {
    let _ = Namespace::new("/").on_connect(joined);
}
