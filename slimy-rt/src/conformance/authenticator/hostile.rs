//! Handshakes that nobody sends by mistake.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Value, json};

use super::{
    super::run::{Verdict, clauses, ensure, failed, short},
    Good, Harness, Refusal, Subject,
};
use crate::auth::Handshake;

/// The size of a huge header or payload.
const HUGE: usize = 64 * 1024;
/// The headers that carry credentials.
const CARRIERS: [HeaderName; 2] = [header::AUTHORIZATION, header::COOKIE];

clauses! { Harness;
    "garbage-refused": "Garbage is refused in time, whatever its size and bytes: no panic, nobody let in, and not `Unavailable`." => garbage_refused,
    "altered-refused": "A credential of which any part is altered, missing or doubled is refused." => altered_refused,
    "surplus-harmless": "Beside a good credential, garbage may be refused, but never panics or lets in someone else." => surplus_harmless,
}

fn garbage_texts() -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = [
        "",
        " ",
        "=",
        ";",
        ";;==;;",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "bearer x",
        "Basic",
        "Basic !",
        "Basic Og==",
        "null",
        "..",
        "...",
        "a.b.c",
        "eyJhbGciOiJub25lIn0.e30.",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "token=",
        "token=x; token=y",
        "%00%ff",
        "\"",
        "{}",
        "[]",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    texts.extend([
        b"Bearer \xff\xfe\xc0\x80".to_vec(),
        b"\xf0\x9f\xa6".to_vec(),
        "日本語".as_bytes().to_vec(),
        vec![b'a'; HUGE],
        [b"Bearer ".to_vec(), vec![b'.'; HUGE]].concat(),
        b"a=b; ".repeat(HUGE / 5),
    ]);
    texts
}

fn payloads() -> Vec<Value> {
    let deep = (0..100).fold(json!(1), |inner, _| json!({"token": [inner]}));
    vec![
        json!([]),
        json!("text"),
        json!(0),
        json!(true),
        json!({"token": null, "password": null, "auth": null}),
        json!({"token": 5, "password": {}, "auth": [[]]}),
        json!({"token": "", "password": "", "auth": ""}),
        json!({"token": "\u{0}\u{feff}🦀", "password": "'; --", "auth": "../.."}),
        json!({"token": "x".repeat(HUGE), "password": "x".repeat(HUGE)}),
        json!({"token": "a.b.c", "__proto__": {"admin": true}, "": ""}),
        deep,
    ]
}

fn with_headers(headers: &HeaderMap) -> Handshake {
    Handshake::builder(headers, IpAddr::V4(Ipv4Addr::LOCALHOST)).build()
}

fn garbage() -> Vec<Handshake> {
    let mut garbage = Vec::new();
    for text in garbage_texts() {
        let Ok(value) = HeaderValue::from_bytes(&text) else {
            continue;
        };
        for name in CARRIERS {
            let mut headers = HeaderMap::new();
            headers.append(name.clone(), value.clone());
            garbage.push(with_headers(&headers));
            headers.append(name, value.clone());
            garbage.push(with_headers(&headers));
        }
        let query = format!("token={0}&{0}", String::from_utf8_lossy(&text));
        let builder = Handshake::builder(&HeaderMap::new(), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        garbage.push(builder.query(&query).build());
    }
    garbage.extend(
        payloads()
            .into_iter()
            .map(|auth| Handshake::default().with_auth(auth)),
    );
    garbage
}

/// Fails unless it was refused, however.
async fn refused(subject: &Subject, handshake: &Handshake, what: &str) -> Verdict {
    let result = subject.ask(handshake).await?;
    let refusal = result.as_ref().err().and_then(Refusal::of);
    ensure!(refusal.is_some(), "{what} gave {}", short(&result));
    Ok(())
}

async fn garbage_refused(harness: Harness) -> Verdict {
    let subject = harness.subject().await;
    for (i, handshake) in garbage().iter().enumerate() {
        refused(&subject, handshake, &format!("garbage {i}")).await?;
    }
    Ok(())
}

/// The same handshake with something else for the secret, wherever it stands.
fn replaced(good: &Good, other: &str) -> Handshake {
    let replace = |text: &str| text.replace(&*good.secret, other);
    let mut headers = HeaderMap::new();
    for name in CARRIERS {
        for value in good.handshake.header_bytes(&name) {
            let text = replace(&String::from_utf8_lossy(value));
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.append(name.clone(), value);
            }
        }
    }
    let mut auth = good.handshake.auth().clone();
    replace_in(&mut auth, &replace);
    Handshake::builder(&headers, good.handshake.remote_addr())
        .query(&replace(good.handshake.query()))
        .secure(good.handshake.is_secure())
        .auth(auth)
        .build()
}

fn replace_in(value: &mut Value, replace: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = replace(text),
        Value::Array(values) => values
            .iter_mut()
            .for_each(|value| replace_in(value, replace)),
        Value::Object(map) => map
            .values_mut()
            .for_each(|value| replace_in(value, replace)),
        _ => {}
    }
}

/// What is like the secret, and is not.
fn alterations(secret: &str) -> Vec<String> {
    let characters: Vec<char> = secret.chars().collect();
    let middle = characters.len() / 2;
    let other = |at: usize| -> String {
        let mut changed = characters.clone();
        // Neither letter is the other's other case.
        changed[at] = if changed[at] == 'Q' { 'x' } else { 'Q' };
        changed.into_iter().collect()
    };
    let mut altered = vec![
        String::new(),
        other(0),
        other(middle),
        characters[..middle].iter().collect(),
        characters[middle..].iter().collect(),
        characters[1..].iter().collect(),
        characters[..characters.len() - 1].iter().collect(),
        format!("{secret}Q"),
        format!("Q{secret}"),
        format!("{secret}{secret}"),
    ];
    altered.retain(|text| text != secret);
    altered
}

async fn altered_refused(harness: Harness) -> Verdict {
    let subject = harness.accepting().await?;
    let secret = |good: &&Good| !good.secret.is_empty();
    for good in subject.good.iter().filter(secret) {
        let known: Vec<&str> = subject.good.iter().map(|good| &*good.secret).collect();
        let unknown = |text: &String| !known.contains(&text.as_str());
        for (i, other) in alterations(&good.secret)
            .into_iter()
            .filter(unknown)
            .enumerate()
        {
            let what = format!("alteration {i} of the credential of {:?}", good.user);
            refused(&subject, &replaced(good, &other), &what).await?;
        }
    }
    Ok(())
}

async fn surplus_harmless(harness: Harness) -> Verdict {
    let subject = harness.accepting().await?;
    for good in &subject.good {
        for text in garbage_texts() {
            let Ok(value) = HeaderValue::from_bytes(&text) else {
                continue;
            };
            for carrier in CARRIERS {
                let mut headers = HeaderMap::new();
                for name in CARRIERS {
                    for value in good.handshake.header_bytes(&name) {
                        if let Ok(value) = HeaderValue::from_bytes(value) {
                            headers.append(name.clone(), value);
                        }
                    }
                }
                headers.append(carrier, value.clone());
                let handshake = Handshake::builder(&headers, good.handshake.remote_addr())
                    .query(good.handshake.query())
                    .secure(good.handshake.is_secure())
                    .auth(good.handshake.auth().clone())
                    .build();
                match subject.ask(&handshake).await? {
                    Ok(identity) if identity.user.id != good.user => {
                        return failed(format!(
                            "with garbage beside it, {:?} was let in as {:?}",
                            good.user, identity.user.id
                        ));
                    }
                    Err(error) if Refusal::of(&error).is_none() => {
                        return failed(format!("garbage beside a good credential gave {error:?}"));
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}
