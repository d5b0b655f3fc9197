//! What flags amount to, and how mistakes are told. The environment is the test's own, not the machine's.

use clap::{CommandFactory, FromArgMatches, builder::Resettable};

use super::*;
use crate::{backends::Source, config::Cli};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The settings for these flags.
fn settings(flags: &[&str]) -> Result<Settings, Failure> {
    let command = Cli::command().mut_args(|arg| arg.env(Resettable::Reset));
    let matches = command.try_get_matches_from([&["admin-server"], flags].concat());
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = cli.map_err(|error| Failure::config(error.to_string()))?;
    Settings::new(cli.login, cli.serve)
}

fn with_secret(flags: &[&str]) -> Result<Settings, Failure> {
    settings(&[&["--jwt-secret", SECRET], flags].concat())
}

fn error(flags: &[&str]) -> String {
    let error = with_secret(flags).expect_err("a refusal");
    assert_eq!(
        error,
        Failure::config(error.to_string()),
        "a mistake of the configuration"
    );
    error.to_string()
}

#[test]
fn defaults_are_a_demo_on_this_machine() {
    let settings = settings(&[]).unwrap();
    assert_eq!(settings.listen, ([127, 0, 0, 1], 3080).into());
    let Login::Demo(jwt) = settings.login else {
        panic!("{:?}", settings.login);
    };
    assert_eq!(jwt.cookie_name(), "slimy_admin_token");
    assert_eq!(settings.server.recovery, Some(Duration::from_secs(120)));
    assert_eq!(settings.server.max_payload, 1_000_000);
    assert_eq!(settings.chat.rate.to_string(), "20/10s");
    assert!(settings.bot.is_none() && settings.tls.is_none() && !settings.development);
}

#[test]
fn a_demo_does_not_leave_this_machine() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let text = settings(&["--listen", listen]).unwrap_err().to_string();
        assert!(text.contains("JWT_SECRET"), "{text}");
        assert!(with_secret(&["--listen", listen]).is_ok());
    }
    assert!(settings(&["--listen", "[::1]:0"]).is_ok());
    let text = settings(&["--sessions-file", "x"]).unwrap_err().to_string();
    assert!(text.contains("JWT_SECRET"), "{text}");
}

#[test]
fn the_address_has_several_names() {
    let listen = |flags: &[&str]| with_secret(flags).unwrap().listen.to_string();
    assert_eq!(listen(&["--host", "0.0.0.0", "--port", "80"]), "0.0.0.0:80");
    assert_eq!(
        listen(&["--admin-api-host", "::1", "--admin-api-port", "81"]),
        "[::1]:81"
    );
    assert_eq!(
        listen(&["--host", "localhost", "--admin-api-port", "82"]),
        "127.0.0.1:82"
    );
    assert_eq!(
        listen(&["--listen", "127.0.0.1:83", "--port", "84"]),
        "127.0.0.1:83"
    );
    assert!(error(&["--host", "my-box"]).contains("ADMIN_LISTEN"));
}

#[test]
fn secrets_are_long_and_never_shown() {
    let two = format!("{SECRET}, {SECRET}x");
    assert!(settings(&["--jwt-secret", &two]).is_ok());
    let short = &SECRET[1..];
    for bad in [short.to_owned(), format!("{SECRET},{short}")] {
        let text = settings(&["--jwt-secret", &bad]).unwrap_err().to_string();
        assert!(text.contains("32") && !text.contains(short), "{text}");
    }
    for empty in ["", " , "] {
        let text = settings(&["--jwt-secret", empty]).unwrap_err().to_string();
        assert!(text.contains("empty"), "{text}");
    }
    let shown = format!(
        "{:?}",
        with_secret(&["--openai-api-key", "sk-hidden"]).unwrap()
    );
    assert!(
        !shown.contains(SECRET) && !shown.contains("sk-hidden"),
        "{shown}"
    );
}

#[test]
fn secrets_come_from_files() {
    let path = std::env::temp_dir().join(format!("admin-server-secret-{}", std::process::id()));
    fs::write(&path, format!("{SECRET}\n{SECRET}2\n")).unwrap();
    let file = path.to_str().unwrap();
    let login = settings(&["--jwt-secret-file", file]).unwrap().login;
    assert!(matches!(login, Login::Jwt(_)), "{login:?}");
    assert!(error(&["--jwt-secret-file", file]).contains("both"));
    fs::remove_file(&path).unwrap();
    let missing = settings(&["--jwt-secret-file", file]).unwrap_err();
    assert!(missing.to_string().contains(file), "{missing}");
}

#[test]
fn backends_that_are_not_there_are_named_without_their_password() {
    for flag in ["--sessions", "--broker", "--authenticator", "--metrics"] {
        let text = error(&[flag, "mongodb://u:hunter2@db/x"]);
        for said in ["feature", "mongodb", flag] {
            assert!(text.contains(said), "{text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
        assert!(error(&[flag, "memory"]).contains("scheme"));
    }
    for (flag, url) in [
        ("--sessions", "memory:x"),
        ("--broker", "jwt:"),
        ("--authenticator", "jwt:x"),
        ("--authenticator", "memory:"),
        ("--metrics", "process:x"),
        ("--metrics", "uploads:"),
    ] {
        assert!(error(&[flag, url]).contains(flag), "{flag} {url}");
    }
}

#[test]
fn several_sources_of_figures() {
    let flags = [
        "--metrics",
        "process:,uploads:/srv/a",
        "--metrics",
        "uploads:b",
    ];
    let sources = with_secret(&flags).unwrap().backends.metrics;
    assert!(matches!(
        &sources[..],
        [Source::Process, Source::Uploads(a), Source::Uploads(b)]
            if a == Path::new("/srv/a") && b == Path::new("b")
    ));
}

#[test]
fn one_node_needs_a_broker_only_for_recovery() {
    let broker = |recovery| {
        let settings = with_secret(&["--recovery", recovery]).unwrap();
        settings
            .backends
            .room_broker(settings.server.recovery.is_some())
    };
    assert!(broker("2m").is_some_and(|broker| broker.capabilities().recovery));
    assert!(broker("off").is_none());
}

#[cfg(feature = "redis")]
#[test]
fn a_store_of_tokens_needs_no_secret_and_is_no_demo() {
    let tokens = ["--authenticator", "redis://u:hunter2@127.0.0.1:1"];
    let settings = settings(&[&tokens[..], &["--listen", "0.0.0.0:0"]].concat()).unwrap();
    assert!(matches!(settings.login, Login::Tokens(_)), "{settings:?}");
    assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
}

#[cfg(feature = "redis")]
#[test]
fn a_demo_shares_nothing() {
    for flag in ["--sessions", "--broker"] {
        let url = "redis://u:hunter2@127.0.0.1:1";
        let text = settings(&[flag, url]).unwrap_err().to_string();
        assert!(text.contains("JWT_SECRET") && text.contains(flag), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(with_secret(&[flag, url]).is_ok());
    }
    assert!(settings(&["--metrics", "redis://127.0.0.1:1"]).is_ok());
}

#[test]
fn mistakes_name_what_to_change() {
    assert!(error(&["--cors-origin", "admin.example"]).contains("https://admin.example"));
    assert!(error(&["--trusted-proxies", "proxy"]).contains("--trusted-proxies"));
    assert!(error(&["--cookie-name", "a b"]).contains("cookie"));
    assert!(error(&["--cookie-domain", "a b"]).contains("--cookie-domain"));
    assert!(error(&["--tls-cert", "x"]).contains("--tls-key"));
    assert!(error(&["--tls-key", "x"]).contains("--tls-cert"));
    for flag in [
        "--chat-rate",
        "--packet-rate",
        "--chat-audience",
        "--ping-interval-ms",
        "--worker-threads",
        "--recovery",
    ] {
        assert!(error(&[flag, "often"]).contains(flag), "{flag}");
    }
}

#[test]
fn origins_of_both_variables_count() {
    let flags = [
        "--cors-origin",
        "https://a.example,https://b.example",
        "--admin-allowed-origins",
        "https://c.example",
    ];
    let listed = Origins::parse("https://a.example,https://b.example,https://c.example").unwrap();
    assert_eq!(with_secret(&flags).unwrap().origins, listed);
}

#[test]
fn zero_is_no_limit() {
    assert!(
        with_secret(&["--packet-rate", "0"])
            .unwrap()
            .server
            .packet_rate
            .is_none()
    );
    assert_eq!(with_secret(&[]).unwrap().server.max_connections, 0);
    assert!(with_secret(&["--recovery", "off"]).is_ok());
}
