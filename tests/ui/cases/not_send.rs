//! A handler may go on on another thread.
use std::rc::Rc;

use slimy_rt::events::{Namespace, Socket};

async fn say(socket: Socket) {
    let name = Rc::new(socket.id().clone());
    tokio::task::yield_now().await;
    println!("{name}");
}

fn main() {
    let _ = Namespace::new("/").on("say", say);
}
