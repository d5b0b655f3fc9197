//! A plain value is no extractor: it wants a `Payload` around it.
use slimy_rt::events::Namespace;

async fn say(text: String) {
    println!("{text}");
}

fn main() {
    let _ = Namespace::new("/").on("say", say);
}
