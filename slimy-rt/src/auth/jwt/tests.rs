//! What a token must be to let anyone in, with the clock as an argument.

use http::{HeaderMap, header::COOKIE};
use serde_json::{Value, json};

use super::*;
use crate::{UserId, auth::Role};

const SECRET: &str = "an old secret of more than 32 bytes";
const NEW_SECRET: &str = "a new secret of more than 32 bytes!";
const NOW: u64 = 1_800_000_000;

fn at(seconds: f64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs_f64(seconds)
}

fn now() -> SystemTime {
    at(NOW as f64)
}

fn jwt() -> JwtAuthenticator {
    JwtConfig::new([SECRET]).build().unwrap()
}

/// A token with any header and claims, signed by any algorithm of the HMAC family.
fn token(algorithm: Algorithm, header: &str, claims: &str, secret: &str) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let key = EncodingKey::from_secret(secret.as_bytes());
    let signer = (DEFAULT_PROVIDER.signer_factory)(&algorithm, &key).unwrap();
    let signature = URL_SAFE_NO_PAD.encode(signer.try_sign(message.as_bytes()).unwrap());
    format!("{message}.{signature}")
}

fn hs256(claims: &str) -> String {
    token(Algorithm::HS256, r#"{"alg":"HS256"}"#, claims, SECRET)
}

fn verify(claims: &Value) -> Result<Identity, AuthError> {
    jwt().verify(&hs256(&claims.to_string()), now())
}

fn verify_text(claims: &str) -> Result<Identity, AuthError> {
    jwt().verify(&hs256(claims), now())
}

/// Claims that are good but for what is laid over them.
fn claims(over: &Value) -> Value {
    let mut claims = json!({"sub": "u1", "exp": NOW + 60});
    for (name, value) in over.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn assert_invalid(result: Result<Identity, AuthError>, why: &str) {
    match result {
        Err(AuthError::Invalid(_)) => {}
        other => panic!("{why}: {other:?}"),
    }
}

#[test]
fn what_is_issued_is_accepted_until_it_ends() {
    let user = User::new(UserId::parse("1176605506912141444").unwrap(), Role::Club)
        .username("alice")
        .global_name("Älice \"A\"");
    let jwt = jwt();
    let ttl = Duration::from_secs(60);
    let token = jwt.issue_at(&user, ttl, now()).unwrap();
    let identity = jwt.verify(&token, now()).unwrap();
    assert_eq!(identity.user, user);
    assert_eq!(identity.issued_at, Some(now()));
    assert_eq!(identity.expires_at, Some(now() + ttl));
    assert!(jwt.verify(&token, at(NOW as f64 + 59.999)).is_ok());
    assert!(matches!(
        jwt.verify(&token, now() + ttl),
        Err(AuthError::Expired)
    ));
}

#[test]
fn issued_tokens_have_the_shape_that_the_node_service_signs() {
    let user = User::new(UserId::parse("u1").unwrap(), Role::Admin).global_name("Alice");
    let token = jwt()
        .issue_at(&user, Duration::from_secs(9), now())
        .unwrap();
    let payload = token.split('.').nth(1).unwrap();
    let mut claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    claims.as_object_mut().unwrap().remove("jti");
    assert_eq!(
        claims,
        json!({
            "user": {"id": "u1", "username": null, "globalName": "Alice", "avatar": null, "role": "admin"},
            "iat": NOW, "exp": NOW + 9,
        })
    );
}

#[test]
fn tokens_of_one_second_can_be_denied_singly() {
    let user = User::new(UserId::parse("u1").unwrap(), Role::Member);
    let id = || {
        let token = jwt()
            .issue_at(&user, Duration::from_secs(9), now())
            .unwrap();
        jwt().verify(&token, now()).unwrap().token.unwrap()
    };
    assert_ne!(id(), id());
}

#[test]
fn the_token_id_is_the_hash_of_what_is_signed() {
    let token = hs256(&claims(&json!({})).to_string());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let id = jwt().verify(&token, now()).unwrap().token.unwrap();
    assert_eq!(id.as_str().len(), 64);
    assert!(id.as_str().bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(id, token_id(message).unwrap());
    for other in [
        format!("{token}="),
        format!("{token} "),
        format!("{message}.{signature}A"),
    ] {
        assert_invalid(jwt().verify(&other, now()), &other);
    }
    // 43 characters carry 258 bits: the last two must be zero, or one signature would have four spellings.
    let last = signature.chars().last().unwrap();
    for respelled in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars() {
        if respelled != last {
            let other = format!("{}{respelled}", &token[..token.len() - 1]);
            assert_invalid(jwt().verify(&other, now()), &other);
        }
    }
}

#[test]
fn the_algorithm_is_pinned() {
    let claims = claims(&json!({})).to_string();
    let with = |algorithm, header: &str| token(algorithm, header, &claims, SECRET);
    for (algorithm, header) in [
        (Algorithm::HS256, r#"{"alg":"none"}"#),
        (Algorithm::HS256, r#"{"alg":"None"}"#),
        (Algorithm::HS256, r#"{"alg":"hs256"}"#),
        (Algorithm::HS256, r#"{"alg":"HS384"}"#),
        (Algorithm::HS384, r#"{"alg":"HS384"}"#),
        (Algorithm::HS512, r#"{"alg":"HS512"}"#),
        (Algorithm::HS384, r#"{"alg":"HS256"}"#),
        (Algorithm::HS512, r#"{"alg":"HS256"}"#),
        (Algorithm::HS256, r#"{"alg":"RS256"}"#),
        (Algorithm::HS256, r#"{"alg":"ES256"}"#),
        (Algorithm::HS256, r#"{"alg":"PS256"}"#),
        (Algorithm::HS256, r#"{"alg":"EdDSA"}"#),
        (Algorithm::HS256, r#"{"alg":null}"#),
        (Algorithm::HS256, r#"{"alg":["HS256"]}"#),
        (Algorithm::HS256, r#"{"alg":256}"#),
        (Algorithm::HS256, r#"{"typ":"JWT"}"#),
        (
            Algorithm::HS256,
            r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        ),
        (Algorithm::HS256, r#"{"alg":"HS256","crit":[]}"#),
        (Algorithm::HS256, r#"{"alg":"HS256","crit":null}"#),
        (Algorithm::HS256, r#"["HS256"]"#),
        (Algorithm::HS256, "null"),
        (Algorithm::HS256, ""),
        (Algorithm::HS256, "{"),
    ] {
        assert_invalid(jwt().verify(&with(algorithm, header), now()), header);
    }
    let decorated = r#"{"typ":"JWT","alg":"HS256","kid":"1","jku":"https://evil.example/keys"}"#;
    assert!(
        jwt()
            .verify(&with(Algorithm::HS256, decorated), now())
            .is_ok()
    );
}

#[test]
fn unsigned_and_misshapen_tokens_are_invalid() {
    let good = hs256(&claims(&json!({})).to_string());
    let parts: Vec<&str> = good.split('.').collect();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        "a.b".into(),
        "ä.ö.ü".into(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{good}.{}", parts[2]),
        format!("{}.{good}", parts[0]),
        format!(".{}.{}", parts[1], parts[2]),
        format!("{}..{}", parts[0], parts[2]),
        format!("{}.{}.{}", parts[0], parts[1], "A".repeat(43)),
        format!("{good}\0"),
        good.replace('.', " ."),
        "A".repeat(MAX_TOKEN_BYTES + 1),
    ] {
        assert_invalid(jwt().verify(&bad, now()), &bad);
    }
}

#[test]
fn every_secret_verifies_and_the_first_signs() {
    let both = JwtConfig::new([NEW_SECRET, SECRET]).build().unwrap();
    let new = JwtConfig::new([NEW_SECRET]).build().unwrap();
    let user = User::new(UserId::parse("u1").unwrap(), Role::Member);
    let ttl = Duration::from_secs(60);
    let by_old = jwt().issue_at(&user, ttl, now()).unwrap();
    let by_both = both.issue_at(&user, ttl, now()).unwrap();
    assert!(both.verify(&by_old, now()).is_ok());
    assert!(new.verify(&by_both, now()).is_ok());
    assert_invalid(jwt().verify(&by_both, now()), "signed with the first");
    assert_invalid(new.verify(&by_old, now()), "the old one is gone");
}

#[test]
fn a_bad_signature_is_invalid_even_when_expired() {
    let expired = claims(&json!({"exp": NOW - 1}));
    assert!(matches!(verify(&expired), Err(AuthError::Expired)));
    let header = r#"{"alg":"HS256"}"#;
    let forged = token(Algorithm::HS256, header, &expired.to_string(), NEW_SECRET);
    assert_invalid(jwt().verify(&forged, now()), "forged");
}

#[test]
fn exp_is_required_and_a_number_in_the_future() {
    for exp in ["null", "\"1800000060\"", "true", "[1800000060]", "{}"] {
        assert_invalid(verify_text(&format!(r#"{{"sub":"u1","exp":{exp}}}"#)), exp);
    }
    assert_invalid(verify(&json!({"sub": "u1"})), "no exp");
    for exp in [
        "1800000000",
        "1800000000.0",
        "1799999999.999",
        "0",
        "-0.0",
        "-1",
        "-1e300",
        "1e-300",
    ] {
        let result = verify_text(&format!(r#"{{"sub":"u1","exp":{exp}}}"#));
        assert!(
            matches!(result, Err(AuthError::Expired)),
            "{exp}: {result:?}"
        );
    }
    for exp in ["1800000000.5", "1800000001", "1.800000001e9"] {
        assert!(
            verify_text(&format!(r#"{{"sub":"u1","exp":{exp}}}"#)).is_ok(),
            "{exp}"
        );
    }
}

#[test]
fn huge_times_saturate() {
    for exp in [
        "253402300800",
        "9007199254740993",
        "18446744073709551615",
        "1e30",
        "1.7e308",
    ] {
        let identity = verify_text(&format!(r#"{{"sub":"u1","exp":{exp},"iat":{exp}}}"#)).unwrap();
        assert_eq!(
            identity.expires_at,
            Some(UNIX_EPOCH + claims::LATEST),
            "{exp}"
        );
        assert_eq!(identity.issued_at, Some(UNIX_EPOCH + claims::LATEST));
    }
    // No JSON number in 64 bits.
    assert_invalid(verify_text(r#"{"sub":"u1","exp":1e999}"#), "infinite");
    let user = User::new(UserId::parse("u1").unwrap(), Role::Member);
    let endless = jwt().issue_at(&user, Duration::MAX, now()).unwrap();
    assert!(jwt().verify(&endless, now()).is_ok());
}

#[test]
fn nbf_is_enforced_when_present_and_iat_is_kept() {
    assert!(verify(&claims(&json!({"nbf": NOW}))).is_ok());
    assert!(verify(&claims(&json!({"nbf": NOW as f64 - 0.5}))).is_ok());
    for nbf in [
        json!(NOW + 1),
        json!(NOW as f64 + 0.5),
        json!("0"),
        json!(null),
        json!([]),
    ] {
        assert_invalid(verify(&claims(&json!({"nbf": nbf}))), "nbf");
    }
    assert_eq!(verify(&claims(&json!({}))).unwrap().issued_at, None);
    let kept = verify(&claims(&json!({"iat": 1.5}))).unwrap().issued_at;
    assert_eq!(kept, Some(at(1.5)));
    for iat in [json!("0"), json!(null), json!(true)] {
        assert_invalid(verify(&claims(&json!({"iat": iat}))), "iat");
    }
}

#[test]
fn leeway_moves_both_ends() {
    let lenient = JwtConfig::new([SECRET]).leeway(MAX_LEEWAY).build().unwrap();
    let check = |over: Value| lenient.verify(&hs256(&claims(&over).to_string()), now());
    let identity = check(json!({"exp": NOW - 29})).unwrap();
    assert_eq!(identity.expires_at, Some(at(NOW as f64 + 1.0)));
    assert!(matches!(
        check(json!({"exp": NOW - 30})),
        Err(AuthError::Expired)
    ));
    assert!(check(json!({"nbf": NOW + 30})).is_ok());
    assert_invalid(check(json!({"nbf": NOW + 31})), "nbf");
}

#[test]
fn both_shapes_of_claims_are_read() {
    let nested = verify(&claims(&json!({"sub": "other", "user": {
        "id": "u2", "username": "al", "globalName": "Al", "avatar": "a.png", "role": "owner",
    }})));
    let user = nested.unwrap().user;
    assert_eq!((user.id.as_str(), user.role), ("u2", Role::Admin));
    assert_eq!(user.display_name(), "Al");
    assert_eq!(user.avatar.as_deref(), Some("a.png"));

    let flat = claims(&json!({"username": "al", "globalName": null, "role": "club"}));
    let user = verify(&flat).unwrap().user;
    assert_eq!((user.id.as_str(), user.role), ("u1", Role::Club));
    assert_eq!(user.display_name(), "al");

    for role in [
        json!(null),
        json!("member"),
        json!("root"),
        json!("Admin"),
        json!(""),
    ] {
        let user = verify(&claims(&json!({"role": role}))).unwrap().user;
        assert_eq!(user.role, Role::Member, "{role}");
    }
}

#[test]
fn the_id_is_the_first_present_of_three() {
    let id = |fields: &str| {
        let claims = format!(r#"{{"exp":1800000060,{fields}}}"#);
        verify_text(&claims).map(|identity| identity.user.id.to_string())
    };
    for (fields, expected) in [
        (r#""discordId":"d""#, "d"),
        (r#""discordId":"d","sub":"s""#, "s"),
        (r#""discordId":"d","sub":"s","id":"i""#, "i"),
        (r#""id":null,"sub":"s""#, "s"),
        (r#""id":1176605506912141444"#, "1176605506912141444"),
        (r#""id":18446744073709551615"#, "18446744073709551615"),
        (r#""id":0"#, "0"),
        (r#""user":null,"id":"i""#, "i"),
        (r#""user":"u","id":"i""#, "i"),
        (r#""user":{"discordId":"d"},"id":"i""#, "d"),
    ] {
        assert_eq!(id(fields).unwrap(), expected, "{fields}");
    }
    for fields in [
        r#""username":"al""#,
        r#""id":"","sub":"s""#,
        r#""id":true"#,
        r#""id":1.5"#,
        r#""id":1e3"#,
        r#""id":18446744073709551616"#,
        r#""id":["i"]"#,
        r#""id":"a\u0000b""#,
        r#""user":{},"id":"i""#,
        r#""user":{"id":null},"sub":"s""#,
    ] {
        assert!(matches!(id(fields), Err(AuthError::Invalid(_))), "{fields}");
    }
}

#[test]
fn texts_are_bounded_and_typed() {
    for (field, longest) in [
        ("username", MAX_NAME_BYTES),
        ("globalName", MAX_NAME_BYTES),
        ("avatar", MAX_AVATAR_BYTES),
        ("sub", crate::MAX_ID_BYTES),
    ] {
        let with = |length| verify(&claims(&json!({field: "x".repeat(length)})));
        assert!(with(longest).is_ok(), "{field}");
        assert_invalid(with(longest + 1), field);
    }
    for field in ["username", "globalName", "avatar", "role"] {
        assert_invalid(verify(&claims(&json!({field: 5}))), field);
    }
    let long = User::new(UserId::parse("u").unwrap(), Role::Member).username("x".repeat(257));
    let error = jwt()
        .issue_at(&long, Duration::from_secs(1), now())
        .unwrap_err();
    assert_eq!(error.to_string(), "the user name is too long for a token");
    assert!(
        jwt()
            .sign(&json!({"x": "y".repeat(MAX_TOKEN_BYTES)}))
            .is_err()
    );
}

#[test]
fn claims_that_are_no_object_are_invalid() {
    let deep = format!(
        r#"{{"exp":1800000060,"sub":"u","x":{}}}"#,
        "[".repeat(2_000)
    );
    for claims in [
        "",
        "null",
        "[]",
        "\"u1\"",
        "{",
        r#"{"sub":"\ud800"}"#,
        deep.as_str(),
    ] {
        assert_invalid(verify_text(claims), claims);
    }
}

#[test]
fn a_configuration_that_cannot_be_used_says_what_to_change() {
    let message = |config: JwtConfig| config.build().unwrap_err().to_string();
    let none: [&str; 0] = [];
    assert!(message(JwtConfig::new(none)).contains("at least 32"));
    let short = message(JwtConfig::new([SECRET, &"x".repeat(31)]));
    assert!(short.contains("number 2 has 31 bytes") && short.contains("at least 32"));
    assert!(message(JwtConfig::new([SECRET; 9])).contains('8'));
    let leeway = JwtConfig::new([SECRET]).leeway(Duration::from_millis(30_001));
    assert!(message(leeway).contains("at most 30s"));
    assert!(message(JwtConfig::new([SECRET]).cookie_name("a b")).contains("\"a b\""));
    assert!(JwtConfig::new(["x".repeat(32)]).build().is_ok());
}

#[test]
fn debug_and_errors_show_no_secret() {
    let config = JwtConfig::new([SECRET]);
    let debug = format!("{config:?} {:?}", config.clone().build().unwrap());
    assert!(!debug.contains("secret of"), "{debug}");
    let error = verify_text(r#"{"exp":"do not show me"}"#).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("show"));
}

#[tokio::test]
async fn the_token_comes_from_the_cookie() {
    let jwt = JwtConfig::new([SECRET])
        .cookie_name("other")
        .build()
        .unwrap();
    let user = User::new(UserId::parse("u1").unwrap(), Role::Member);
    let token = jwt.issue(&user, Duration::from_secs(60)).unwrap();
    let handshake = |cookie: String| {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, cookie.parse().unwrap());
        Handshake::builder(&headers, [127, 0, 0, 1].into())
            .auth(json!({"token": token}))
            .build()
    };
    let identity = jwt
        .authenticate(&handshake(format!("other={token}")))
        .await
        .unwrap();
    assert_eq!(identity.user, user);
    let escaped = format!(
        "a=b; other=%{:02x}{}; c=d",
        token.as_bytes()[0],
        &token[1..]
    );
    assert!(jwt.authenticate(&handshake(escaped)).await.is_ok());
    let elsewhere = jwt
        .authenticate(&handshake(format!("slimy_admin_token={token}")))
        .await;
    assert!(matches!(elsewhere, Err(AuthError::Missing)));
    assert_eq!(jwt.cookie_name(), "other");
}
