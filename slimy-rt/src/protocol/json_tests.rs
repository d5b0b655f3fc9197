//! The JSON readers, beside serde_json.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

fn valid(text: &str) -> bool {
    validate(text, MAX_DEPTH).is_ok()
}

#[test]
fn the_grammar_is_that_of_rfc_8259() {
    for good in [
        "0",
        "-0",
        "-1.5e+10",
        "1E9",
        "1e999",
        "true",
        "false",
        "null",
        " [ ] ",
        "\t{\r\n}",
        r#""""#,
        r#""\ud800""#,
        r#"{"a":[1,{"b":null}],"a":2}"#,
        r#""\"\\\/\b\f\n\r\t\u00e9é""#,
        "[[],{},[{}]]",
    ] {
        assert!(valid(good), "{good}");
    }
    for bad in [
        "",
        " ",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "tru",
        "nulls",
        "NaN",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "}",
        "[",
        "]",
        "[}",
        "{]",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        "{a:1}",
        r#"{1:1}"#,
        r#"""#,
        r#""\x""#,
        r#""\u12g4""#,
        r#""\u12"#,
        "\"\n\"",
        "\"\u{1f}\"",
        "1 2",
        "[]]",
        "'a'",
        "\u{feff}1",
        "\u{a0}1",
        "\"12345678\u{1}\"",
    ] {
        assert_eq!(validate(bad, MAX_DEPTH), Err(JsonError::Syntax), "{bad}");
    }
}

#[test]
fn nesting_is_bounded_outside_of_strings() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(valid(&nested(128)));
    assert_eq!(validate(&nested(129), usize::MAX), Err(JsonError::TooDeep));
    assert_eq!(validate(&nested(3), 2), Err(JsonError::TooDeep));
    assert!(valid(&format!("\"{}\"", "[{".repeat(1000))));
    let mixed = r#"[{"a":"#.repeat(64) + "1" + &"}]".repeat(64);
    assert!(valid(&mixed));
    assert!(!valid(&"[".repeat(1_000_000)));
}

#[test]
fn escapes_mean_what_javascript_means() {
    assert_eq!(unescape(r"a\u0062\n\/\\"), "ab\n/\\");
    assert_eq!(unescape(r"\ud83d\ude00!"), "😀!");
    assert_eq!(unescape(r"\ud83d\u0041"), "\u{fffd}A");
    assert_eq!(unescape(r"\ude00\ud83d"), "\u{fffd}\u{fffd}");
    assert_eq!(unescape(r"\ud83dx"), "\u{fffd}x");
    assert!(matches!(unescape("plain"), Cow::Borrowed("plain")));
}

#[test]
fn placeholders_are_found_wherever_javascript_finds_them() {
    for (text, attachments, fits) in [
        (r#"[{"_placeholder":true,"num":0}]"#, 1, true),
        (r#"[{"num":1.0,"_placeholder":true}]"#, 2, true),
        (r#"[{"_placeholder":true,"num":1}]"#, 1, false),
        (r#"[{"_placeholder":true,"num":-1}]"#, 1, false),
        (r#"[{"_placeholder":true,"num":0.5}]"#, 1, false),
        (r#"[{"_placeholder":true,"num":"0"}]"#, 1, false),
        (r#"[{"_placeholder":true}]"#, 1, false),
        (r#"[{"\u005fplaceholder":true,"num":9}]"#, 1, false),
        (r#"[{"_placeholder":true,"num":9,"num":0}]"#, 1, true),
        (r#"[{"_placeholder":true,"num":0,"num":9}]"#, 1, false),
        (r#"[{"_placeholder":false,"num":9}]"#, 1, true),
        (r#"[{"_placeholder":1,"num":9}]"#, 1, true),
        (
            r#" [ "_placeholder" , { "a" : [ { "_placeholder" : true , "num" : 3 } ] } ] "#,
            3,
            false,
        ),
        (
            r#" [ "_placeholder" , { "a" : [ { "_placeholder" : true , "num" : 3 } ] } ] "#,
            4,
            true,
        ),
        (r#"["a",{}]"#, 1, true),
    ] {
        assert!(valid(text), "{text}");
        assert_eq!(placeholders_fit(text, attachments), fits, "{text}");
    }
    assert_eq!(placeholder(r#"{"_placeholder":true,"num":1}"#, 2), Some(1));
    assert_eq!(placeholder(r#"{"num":1}"#, 2), None);
    assert_eq!(placeholder("1", 2), None);
}

/// Text that is nearly JSON: the characters that matter, in any order.
fn nearly_json() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            Just("["),
            Just("]"),
            Just("{"),
            Just("}"),
            Just(","),
            Just(":"),
            Just("\""),
            Just("\\"),
            Just("\\u"),
            Just("d800"),
            Just("0"),
            Just("1"),
            Just("-"),
            Just("."),
            Just("e"),
            Just("+"),
            Just(" "),
            Just("\n"),
            Just("true"),
            Just("null"),
            Just("\"a\""),
            Just("\"a\":"),
            Just("é"),
            Just("_placeholder"),
            Just("num"),
            Just("1,"),
            Just("[]"),
            Just("{}"),
            Just("plain text"),
            Just("\u{1}"),
        ],
        0..24,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn the_verdict_is_that_of_serde_json(text in prop_oneof![nearly_json(), any::<String>()]) {
        prop_assert_eq!(valid(&text), serde_json::from_str::<IgnoredAny>(&text).is_ok());
    }

    #[test]
    fn readers_never_panic(text in prop_oneof![nearly_json(), any::<String>()], at in 0_usize..40) {
        let end = skip_value(text.as_bytes(), at);
        prop_assert!(end >= at);
        prop_assert!(unescape(&text).len() <= text.len().max(3) * 3);
        placeholders_fit(&text, 3);
        placeholder(&text, 3);
    }

    #[test]
    fn a_value_ends_where_it_ends(text in nearly_json()) {
        let text = format!("[{text}]");
        if valid(&text) {
            prop_assert_eq!(skip_value(text.as_bytes(), 0), text.len());
        }
    }

    #[test]
    fn strings_survive_writing_and_reading(text in any::<String>()) {
        let mut json = String::new();
        write_string(&mut json, &text);
        prop_assert!(valid(&json));
        prop_assert_eq!(&*unescape(&json[1..json.len() - 1]), &text);
        prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
