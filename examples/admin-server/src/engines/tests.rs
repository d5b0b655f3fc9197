//! URLs and the engines that they name: no engine is reached, and no secret is shown.

use super::*;

fn find(flag: &'static str, url: &str) -> Result<Named, Failure> {
    Engines::default().find(flag, url, &["memory"])
}

fn error(url: &str) -> String {
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
    assert_eq!(text.contains("redis:"), cfg!(feature = "redis"));
    assert_eq!(text.contains("postgres:"), cfg!(feature = "postgres"));
}

#[cfg(not(feature = "redis"))]
#[test]
fn redis_needs_its_feature() {
    for url in ["redis://u:hunter2@db", "rediss://u:hunter2@db"] {
        let text = error(url);
        assert!(
            text.contains("Cargo feature `redis` of admin-server"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[cfg(not(feature = "postgres"))]
#[test]
fn postgres_needs_its_feature() {
    for url in ["postgres://u:hunter2@db/x", "postgresql://u:hunter2@db/x"] {
        let text = error(url);
        assert!(
            text.contains("Cargo feature `postgres` of admin-server"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[cfg(feature = "redis")]
#[test]
fn one_url_is_one_engine() {
    let mut engines = Engines::default();
    let mut open = |flag, url| match engines.find(flag, url, &["memory"]) {
        Ok(Named::Engine(engine)) => engine,
        _ => panic!("{url} is an engine's"),
    };
    let first = open("--sessions", "redis://:hunter2@h/1");
    let same = open("--broker", "redis://:hunter2@h/1");
    open("--broker", "redis://:hunter2@h/1");
    let other = open("--metrics", "redis://:hunter2@h/2");
    assert!(Arc::ptr_eq(&first, &same) && !Arc::ptr_eq(&first, &other));
    let named = engines.into_named();
    let flags: Vec<_> = named.iter().map(NamedEngine::flags).collect();
    assert_eq!(flags, ["--sessions, --broker", "--metrics"]);
    let shown = format!("{named:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[cfg(feature = "redis")]
#[test]
fn redis_urls_and_their_options() {
    for good in [
        "redis://h",
        "redis://u:hunter2@h:1/3?prefix=slimy",
        "rediss://:hunter2@h",
    ] {
        assert!(find("--broker", good).is_ok(), "{good}");
    }
    for bad in [
        "redis:",
        "redis://u:hunter2@h:port",
        "redis://u:hunter2@h/db",
        "redis://u:hunter2@h?prefix=a&prefix=b",
        "redis://u:hunter2@h?prefix=",
    ] {
        let text = error(bad);
        assert!(
            text.starts_with("--broker: ") && !text.contains("hunter2"),
            "{text}"
        );
    }
}

#[cfg(feature = "redis")]
#[test]
fn a_redis_password_comes_from_one_place() {
    let path = std::env::temp_dir().join(format!("admin-server-redis-{}", NodeId::random()));
    std::fs::write(&path, "hunter2\n").unwrap();
    let open = |url: &str| {
        let options = Options {
            redis_password_file: Some(path.clone()),
        };
        Engines::new(options)
            .find("--sessions", url, &["memory"])
            .map(|_| ())
    };
    assert_eq!(open("redis://h"), Ok(()));
    let text = open("redis://:hunter3@h").unwrap_err().to_string();
    assert!(
        text.contains("--redis-password-file") && !text.contains("hunter"),
        "{text}"
    );
    std::fs::remove_file(&path).unwrap();
    let text = open("redis://h").unwrap_err().to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
}

#[cfg(feature = "postgres")]
#[test]
fn postgres_urls_and_their_options() {
    for good in [
        "postgres://h/db",
        "postgresql://u:hunter2@h:1/db?schema=chat&sslmode=disable&max_connections=4&migrate=off",
    ] {
        assert!(find("--broker", good).is_ok(), "{good}");
    }
    for bad in [
        "postgres://u:hunter2@h:port/db",
        "postgres://u:hunter2@h/db?max_connections=0",
        "postgres://u:hunter2@h/db?max_connections=many",
        "postgres://u:hunter2@h/db?migrate=maybe",
        "postgres://u:hunter2@h/db?schema=",
        "postgres://u:hunter2@h/db?schema=a&schema=b",
    ] {
        let text = error(bad);
        assert!(
            text.starts_with("--broker: ") && !text.contains("hunter2"),
            "{text}"
        );
    }
}
