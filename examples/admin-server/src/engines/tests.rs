//! URLs and the engines that they name: no engine is reached, and no secret is shown.

use super::*;

pub(super) fn find(flag: &'static str, url: &str) -> Result<Named, Failure> {
    Engines::default().find(flag, url, &["memory"])
}

/// What is wrong with an URL.
pub(super) fn error(url: &str) -> String {
    match find("--broker", url) {
        Ok(_) => panic!("{url} is no mistake"),
        Err(error) => {
            assert_eq!(
                error,
                Failure::config(error.to_string()),
                "a mistake of the configuration"
            );
            error.to_string()
        }
    }
}

#[test]
fn own_schemes_keep_what_follows() {
    let own = find("--broker", "memory:x");
    assert!(matches!(own, Ok(Named::Own("memory", rest)) if rest == "x"));
}

#[test]
fn an_unknown_scheme_is_told_with_those_that_there_are() {
    let text = error("mongodb://u:hunter2@db/x");
    for said in ["--broker", "feature", "`mongodb:`", "memory:"] {
        assert!(text.contains(said), "{text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
    assert!(error("memory").contains("scheme"));
    for (scheme, _, open) in SCHEMES {
        assert_eq!(
            text.contains(&format!("{scheme}:")),
            open.is_some(),
            "{text}"
        );
    }
}

#[test]
fn an_engine_that_is_not_compiled_in_is_told_with_its_feature() {
    for (scheme, feature, open) in SCHEMES {
        let Some(_) = open else {
            let text = error(&format!("{scheme}://u:hunter2@db/x"));
            let named = format!("Cargo feature `{feature}` of admin-server");
            assert!(text.contains(&named) && !text.contains("hunter2"), "{text}");
            continue;
        };
        assert!(find("--broker", &format!("{scheme}://u:hunter2@db/1")).is_ok());
    }
}
