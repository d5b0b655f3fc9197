//! Tokens that were forged, bent, or put where none belongs, against the program: on the socket and on the API alike, and never in the log.

use std::sync::LazyLock;

use serde_json::{Value, json};
use slimy_rt_tests::{
    arena::{Arena, SECRET, cookie},
    raw::{Raw, text},
    token::{claims, now, sign, sign_384, sign_512, sign_by, token},
};

const OLD: &str = "an-older-secret-of-at-least-32-bytes-77";
const OTHER: &str = "a-secret-that-the-server-never-heard-of!";
const NAME: &str = "slimy_admin_token";

static ARENA: LazyLock<Arena> = LazyLock::new(|| {
    let secrets = format!("{SECRET},{OLD}");
    let arena = Arena::start(&[], &[("JWT_SECRET", &secrets), ("RUST_LOG", "debug")]);
    for secret in [OLD, OTHER] {
        arena.keep_secret(secret);
    }
    arena
});

/// These header lines, the query and the CONNECT payload let nobody in; nothing of them is logged.
fn refused_with(lines: &str, query: &str, auth: &str) {
    for long in lines
        .split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c))
        .filter(|part| part.len() > 30)
    {
        ARENA.keep_secret(long);
    }
    ARENA.attack_times(3, async |addr| {
        let mut raw = Raw::connect(addr).await;
        raw.upgrade(
            &format!("/socket.io/?EIO=4&transport=websocket{query}"),
            lines,
        )
        .await;
        assert!(raw.text().await.starts_with("0{"));
        raw.send(text(format!("40{auth}"))).await;
        let refusal = r#"44{"message":"not_authorized","data":{"code":"not_authorized"}}"#;
        assert_eq!(raw.text().await, refusal);

        let mut raw = Raw::connect(addr).await;
        raw.send(format!(
            "GET /api/auth/me?{query} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"
        ))
        .await;
        let answer = raw.answer().await.expect("an answer");
        assert_eq!(answer.status, 401);
        assert!(answer.body.len() < 300, "{}", answer.body);
    });
}

fn let_in(lines: &str) {
    ARENA.attack_times(3, async |addr| {
        let mut raw = Raw::websocket(addr, lines).await;
        raw.join().await;
    });
}

macro_rules! tokens {
    ($expect:ident: $($name:ident: $token:expr;)*) => {
        $(#[test] fn $name() { $expect(&cookie(&$token)); })*
    };
}

fn refused(lines: &str) {
    refused_with(lines, "", "");
}

fn hs256() -> Value {
    json!({"alg": "HS256", "typ": "JWT"})
}

/// Claims of mallory with one more, or one changed.
fn with(name: &str, value: Value) -> String {
    let mut claims = claims("mallory");
    claims[name] = value;
    sign(&hs256(), &claims, SECRET)
}

fn without(name: &str) -> String {
    let mut claims = claims("mallory");
    claims.as_object_mut().expect("an object").remove(name);
    sign(&hs256(), &claims, SECRET)
}

fn alg(alg: &str) -> String {
    sign(
        &json!({"alg": alg, "typ": "JWT"}),
        &claims("mallory"),
        SECRET,
    )
}

fn unsigned(alg: &str) -> String {
    sign_by(&json!({"alg": alg}), &claims("mallory"), |_| Vec::new())
}

fn good() -> String {
    token("mallory", SECRET)
}

/// A header that names a key of the attacker's, who signed with it.
fn header(name: &str, value: Value) -> String {
    let mut header = hs256();
    header[name] = value;
    sign(&header, &claims("mallory"), OTHER)
}

fn user(user: Value) -> String {
    with("user", user)
}

fn cut(from_end: usize) -> String {
    let mut token = good();
    token.truncate(token.len() - from_end);
    token
}

tokens! { refused:
    alg_none: unsigned("none");
    alg_none_in_other_cases: unsigned("nOnE");
    alg_none_in_capitals: unsigned("NONE");
    alg_none_with_a_good_signature: alg("none");
    alg_of_nothing: alg("");
    alg_hs512_by_hs512: sign_512(&json!({"alg": "HS512"}), &claims("mallory"), SECRET);
    alg_hs384_by_hs384: sign_384(&json!({"alg": "HS384"}), &claims("mallory"), SECRET);
    alg_hs512_by_hs256: alg("HS512");
    alg_hs256_by_hs512: sign_512(&hs256(), &claims("mallory"), SECRET);
    alg_rs256_by_the_secret: alg("RS256");
    alg_es256_by_the_secret: alg("ES256");
    alg_ps256_by_the_secret: alg("PS256");
    alg_eddsa_by_the_secret: alg("EdDSA");
    alg_in_small_letters: alg("hs256");
    alg_with_a_nul: alg("HS256\0");
    alg_as_a_list: sign(&json!({"alg": ["HS256"]}), &claims("mallory"), SECRET);
    alg_missing: sign(&json!({"typ": "JWT"}), &claims("mallory"), SECRET);
    header_of_a_list: sign(&json!(["HS256"]), &claims("mallory"), SECRET);
    header_with_a_key_of_its_own: header("jwk", json!({"kty": "oct", "k": "YS1zZWNyZXQ"}));
    header_with_a_place_of_keys: header("jku", json!("https://evil.example/keys.json"));
    header_with_a_certificate: header("x5u", json!("https://evil.example/cert.pem"));
    header_with_a_key_id_of_a_file: header("kid", json!("../../../../dev/null"));
    header_with_a_key_id_of_a_query: header("kid", json!("' UNION SELECT 'a' --"));
    header_with_critical_extensions: sign(&json!({"alg": "HS256", "crit": ["exp"]}), &claims("mallory"), SECRET);
    signature_of_nothing: sign_by(&hs256(), &claims("mallory"), |_| Vec::new());
    signature_of_zeros: sign_by(&hs256(), &claims("mallory"), |_| vec![0; 32]);
    signature_without_its_end: cut(2);
    signature_missing: good().rsplit_once('.').expect("dots").0;
    signature_twice: format!("{}.{}", good(), good().rsplit_once('.').expect("dots").1);
    signature_of_another_secret: token("mallory", OTHER);
    signature_of_an_empty_secret: token("mallory", "");
    exp_missing: without("exp");
    exp_null: with("exp", Value::Null);
    exp_as_text: with("exp", json!((now() + 600).to_string()));
    exp_as_a_list: with("exp", json!([now() + 600]));
    exp_below_zero: with("exp", json!(-1));
    exp_zero: with("exp", json!(0));
    exp_a_second_ago: with("exp", json!(now() - 1));
    nbf_in_the_future: with("nbf", json!(now() + 60));
    nbf_as_text: with("nbf", json!((now() - 60).to_string()));
    user_missing: without("user");
    user_without_id: user(json!({"username": "mallory", "role": "admin"}));
    user_with_an_empty_id: user(json!({"id": ""}));
    user_with_an_id_of_an_object: user(json!({"id": {"toString": "mallory"}}));
    user_with_an_id_of_a_list: user(json!({"id": ["mallory"]}));
    user_with_an_id_of_a_truth: user(json!({"id": true}));
    user_with_a_long_id: user(json!({"id": "m".repeat(300)}));
    user_with_a_long_name: user(json!({"id": "mallory", "username": "m".repeat(300)}));
    claims_of_a_list: sign(&hs256(), &json!([claims("mallory")]), SECRET);
    claims_of_a_text: sign(&hs256(), &json!("mallory"), SECRET);
    token_of_nothing: "";
    token_of_dots: "..";
    token_of_one_part: "eyJhbGciOiJIUzI1NiJ9";
    token_of_9_kb: with("x", json!("y".repeat(9_000)));
    token_with_a_prefix: format!("Bearer {}", good());
    token_with_a_space_within: good().replacen('.', ". ", 1);
    token_with_padding: format!("{}==", good());
    token_with_a_nul_by_percents: format!("{}%00", good());
    token_twice_in_one: format!("{},{}", good(), good());
    cookie_twice: format!("{}; {NAME}={}", good(), good());
    cookie_twice_the_good_one_first: format!("{}; {NAME}=x", good());
    cookie_twice_the_good_one_last: format!("x; {NAME}={}", good());
}

tokens! { let_in:
    good_token: good();
    good_token_of_the_older_secret: token("mallory", OLD);
    good_token_in_quotes: format!("\"{}\"", good());
    good_token_with_spaces_around: format!("  {}  ; theme=dark", good());
    good_token_with_a_fraction: with("exp", json!(now() as f64 + 600.5));
    good_token_until_the_end_of_time: with("exp", json!(1e300));
    good_token_of_7_kb: with("x", json!("y".repeat(5_000)));
}

#[test]
fn two_cookie_headers() {
    refused(&(cookie(&good()) + &cookie(&good())));
    refused(&(cookie("x") + &cookie(&good())));
}

#[test]
fn a_cookie_header_of_63_kib() {
    let filler = format!("x={}; ", "y".repeat(900)).repeat(70);
    let_in(&format!("Cookie: {filler}{NAME}={}\r\n", good()));
    let many = "x=y; ".repeat(12_000);
    let_in(&format!("Cookie: {many}{NAME}={}\r\n", good()));
}

/// A token counts in its cookie only.
#[test]
fn tokens_elsewhere() {
    let good = good();
    ARENA.keep_secret(good.rsplit('.').next().expect("a signature"));
    for lines in [
        format!("Authorization: Bearer {good}\r\n"),
        format!("X-Token: {good}\r\n"),
        format!("Sec-WebSocket-Protocol: {good}\r\n"),
        format!("Set-Cookie: {NAME}={good}\r\n"),
        format!("Cookie: x{NAME}={good}\r\n"),
        format!("Cookie: {}={good}\r\n", NAME.to_uppercase()),
        format!("Cookie: x=\"; {NAME}\"={good}\r\n"),
    ] {
        refused(&lines);
    }
    for query in ["token", "auth", NAME] {
        refused_with("", &format!("&{query}={good}"), "");
    }
    for field in ["token", "auth", "cookie", NAME] {
        refused_with("", "", &json!({ field: good }).to_string());
    }
}

/// Each attempt is a packet of the budget, and costs the server nothing that stays.
#[test]
fn a_thousand_forgeries_on_one_connection() {
    ARENA.attack_times(1, async |addr| {
        for _ in 0..5 {
            let mut raw = Raw::websocket(addr, &cookie(&token("mallory", OTHER))).await;
            for _ in 0..200 {
                raw.send(text("40")).await;
                assert!(raw.text().await.starts_with("44"));
            }
        }
    });
}
