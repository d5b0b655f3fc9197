//! Handlers are async.
use slimy_rt::events::{Namespace, Payload};

fn say(Payload(text): Payload<String>) {
    println!("{text}");
}

fn main() {
    let _ = Namespace::new("/").on("say", say);
}
