//! A plain value is no answer: it wants an `Answer` around it.
use slimy_rt::events::{Namespace, Payload};

async fn double(Payload(number): Payload<i64>) -> i64 {
    2 * number
}

fn main() {
    let _ = Namespace::new("/").on("double", double);
}
