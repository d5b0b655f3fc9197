//! Against an endpoint of the test's own, which answers, fails, hangs and talks nonsense.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;
use crate::GuildId;

const KEY: &str = "sk-very-secret";

/// Listens, answers one request with `response` and then, when told to, keeps the connection open.
struct Endpoint {
    url: String,
    /// The request's head and body.
    request: JoinHandle<(String, Value)>,
}

async fn endpoint(response: Vec<u8>, hang: bool) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let request = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        // The client may hang up in the middle of what is too large.
        let written = stream.write_all(&response).await;
        if hang {
            std::future::pending::<()>().await;
        }
        drop((written, stream));
        request
    });
    Endpoint { url, request }
}

async fn read_request(stream: &mut TcpStream) -> (String, Value) {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap();
        assert_ne!(read, 0, "the request broke off");
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        if let Ok(body) = serde_json::from_str(body) {
            return (head.to_ascii_lowercase(), body);
        }
    }
}

fn http(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into()
}

fn completion(content: &Value) -> Vec<u8> {
    let body = json!({"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": content}}]});
    http("200 OK", &body.to_string())
}

fn question() -> Question {
    Question::new(GuildId::parse("42").unwrap(), "Alice", "@slimy \"hi\"").guild_name("Slime HQ")
}

async fn ask(url: &str) -> Result<String, BotError> {
    let bot = OpenAi::builder(KEY)
        .base_url(url)
        .timeout(Duration::from_millis(300))
        .build();
    bot.unwrap().reply(&question()).await
}

/// The whole error chain, in which no secret may be.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = format!("{error} {error:?}");
    if let Some(source) = error.source() {
        text += &chain(source);
    }
    text
}

#[tokio::test]
async fn asks_as_specified_and_returns_the_answer() {
    let endpoint = endpoint(completion(&json!("hello")), false).await;
    assert_eq!(ask(&endpoint.url).await.unwrap(), "hello");
    let (head, body) = endpoint.request.await.unwrap();
    assert!(
        head.starts_with("post /v1/chat/completions http/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains(&format!("authorization: bearer {KEY}")),
        "{head}"
    );
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(body["model"], "gpt-4o-mini");
    assert_eq!(body["max_tokens"], 180);
    assert!(
        (body["temperature"].as_f64().unwrap() - 0.7).abs() < 1e-9,
        "{body}"
    );
    assert_eq!(body["messages"][0]["role"], "system");
    assert!(
        body["messages"][0]["content"]
            .as_str()
            .unwrap()
            .contains("\"Slime HQ\"")
    );
    assert_eq!(
        body["messages"][1],
        json!({"role": "user", "content": "@slimy \"hi\""})
    );
    assert_eq!(body["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn no_text_is_an_empty_answer() {
    for content in [json!(""), Value::Null] {
        let endpoint = endpoint(completion(&content), false).await;
        assert_eq!(ask(&endpoint.url).await.unwrap(), "");
    }
}

#[tokio::test]
async fn what_is_not_an_answer_is_an_error() {
    let huge = completion(&json!("a".repeat(MAX_RESPONSE_BYTES)));
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        MAX_RESPONSE_BYTES + 1,
        " ".repeat(MAX_RESPONSE_BYTES + 1)
    );
    let table = [
        http("500 Internal Server Error", &format!("you sent {KEY}")),
        http("401 Unauthorized", KEY),
        http("302 Found\r\nlocation: /elsewhere", ""),
        http("200 OK", ""),
        http("200 OK", KEY),
        http("200 OK", "[]"),
        http("200 OK", "{}"),
        http("200 OK", r#"{"choices":[]}"#),
        http("200 OK", r#"{"choices":[{}]}"#),
        http("200 OK", r#"{"choices":[{"message":{"content":7}}]}"#),
        http("200 OK", &format!(r#"{{"choices":"{KEY}"}}"#)),
        huge,
        chunked.into(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec(),
        b"nonsense\r\n\r\n".to_vec(),
        Vec::new(),
    ];
    for response in table {
        let shown = String::from_utf8_lossy(&response[..response.len().min(80)]).into_owned();
        let endpoint = endpoint(response, false).await;
        let error = ask(&endpoint.url).await.expect_err(&shown);
        let chain = chain(&error);
        assert!(
            !chain.contains(KEY) && !chain.contains("127.0.0.1"),
            "{shown}: {chain}"
        );
    }
}

#[tokio::test]
async fn the_timeout_covers_the_body() {
    for begun in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"] {
        let endpoint = endpoint(begun.into(), true).await;
        assert!(
            matches!(ask(&endpoint.url).await, Err(BotError::Timeout)),
            "{begun}"
        );
        endpoint.request.abort();
    }
}

#[tokio::test]
async fn nobody_there_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let error = ask(&url).await.unwrap_err();
    assert!(matches!(error, BotError::Unavailable(_)) && error.is_retryable());
}

#[test]
fn the_configuration_is_checked() {
    let built = |key: &str, url: &str| OpenAi::builder(key).base_url(url).build();
    for key in ["", " ", "a b", "a\nb", "schlüssel"] {
        assert!(
            matches!(built(key, "http://a/v1"), Err(OpenAiConfigError::ApiKey)),
            "{key:?}"
        );
    }
    for url in [
        "",
        "a/v1",
        "ftp://a/v1",
        "http://u:p@a/v1",
        "http://u@a/v1",
        "data:x",
        "http://",
    ] {
        assert!(
            matches!(built(KEY, url), Err(OpenAiConfigError::BaseUrl)),
            "{url:?}"
        );
    }
    for (url, endpoint) in [
        ("http://a/v1", "http://a/v1/chat/completions"),
        ("http://a/v1/", "http://a/v1/chat/completions"),
        ("http://a:8000", "http://a:8000/chat/completions"),
        (
            "http://a/v1?version=2",
            "http://a/v1/chat/completions?version=2",
        ),
    ] {
        assert_eq!(built(KEY, url).unwrap().endpoint.as_str(), endpoint);
    }
    let shown = format!(
        "{:?} {:?}",
        OpenAi::builder(KEY),
        built(KEY, "http://a/v1").unwrap()
    );
    assert!(!shown.contains(KEY), "{shown}");
}
