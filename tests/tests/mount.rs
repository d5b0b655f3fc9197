//! Mounted on axum, at a path of the host's choice, and served by axum itself.

use axum::{Router, routing::get};
use serde_json::json;
use slimy_rt::{
    events::{Ack, Emitter, Namespace, Payload},
    server::Server,
};
use slimy_rt_tests::{client::Client, node::ByHeader};
use tokio::net::TcpListener;

#[tokio::test]
async fn on_axum_beside_other_routes() {
    let namespace = Namespace::new("/").on(
        "add",
        async |emitter: Emitter, ack: Ack, Payload(numbers): Payload<Vec<i64>>| {
            let sum: i64 = numbers.iter().sum();
            ack.send(&sum).unwrap();
            emitter.all().emit("sum", &json!({"sum": sum})).unwrap();
        },
    );
    let server = Server::builder(ByHeader)
        .namespace(namespace)
        .build()
        .unwrap();
    let router = Router::new()
        .route("/", get(|| async { "the host's own page" }))
        .route_service("/socket.io/", server.service());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });

    let mut client = Client::join(addr, "u").await;
    client.send(r#"421["add",[1,2,3]]"#).await;
    assert_eq!(client.text().await, "431[6]");
    assert_eq!(client.event().await, ("sum".into(), json!({"sum": 6})));
    // A message of many reads.
    let long = vec![1; 100_000];
    client
        .send(&format!(
            r#"422["add",{}]"#,
            serde_json::to_string(&long).unwrap()
        ))
        .await;
    assert_eq!(client.text().await, "432[100000]");
}
