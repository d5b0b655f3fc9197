//! What operators do from a shell: edit sessions, start servers before their engine, and read what they are told.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Map, Value, json};
use slimy_rt_tests::{
    fleet::SECRET,
    program::{Program, binary},
    token::now,
};
use tokio::time::{Instant, sleep};

use crate::cluster::{Engine, GUILD, Kind, PASSWORD};

/// How soon what was done shows.
const SOON: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
/// For how long an engine is away: longer than it takes to be looked at twice.
const AWAY: Duration = Duration::from_secs(5);
/// A token that nobody was given.
const UNKNOWN: &str = "0123456789-abcdefghijklmnopqrstuvwxyz_ABCDE";
/// More than fit one page of a listing.
const MANY: usize = 1_203;

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) printed: String,
    pub(crate) errors: String,
}

/// A user's sessions by hand: what each command prints, and how it ends.
pub(crate) async fn sessions_are_edited(kind: Kind) {
    let engine = Engine::start(kind).await;
    let sessions = |args: &[&str]| operate(&engine, &[&["sessions"], args].concat());
    for command in ["get", "delete"] {
        let ended = sessions(&[command, "u1"]);
        assert_eq!((ended.code, ended.printed.as_str()), (3, ""), "{ended:?}");
        assert!(ended.errors.contains("u1"), "{ended:?}");
    }
    assert_eq!(sessions(&["list"]).json(), json!({}));

    let given = r#"{"guilds":[{"id":7,"name":"Seven","roles":["mod"]}],"role":"club"}"#;
    let stored =
        json!({"guilds": [{"id": "7", "name": "Seven", "roles": ["mod"]}], "role": "club"});
    assert_eq!(sessions(&["put", "u1", given]).json(), stored);
    let got = sessions(&["get", "u1"]);
    assert_eq!(got.json(), stored);
    assert_eq!(got.printed.lines().count(), 1, "one line: {got:?}");
    for wrong in ["", "[]", "{\"guild\":[]}", "{\"guilds\":7}"] {
        let ended = sessions(&["put", "u1", wrong]);
        assert_eq!(ended.code, 2, "{ended:?}");
    }
    assert_eq!(sessions(&["get", "u1"]).json(), stored, "unchanged");

    // What `get` prints is what `put` reads, from stdin too.
    let odd = "ü \"x\"\n7";
    let ended = operate_with(&engine, &["sessions", "put", odd], &got.printed);
    assert_eq!(ended.json(), stored);
    assert_eq!(
        sessions(&["list"]).json(),
        json!({"u1": stored, odd: stored})
    );

    let ended = sessions(&["delete", odd]);
    assert_eq!((ended.code, ended.printed.as_str()), (0, ""), "{ended:?}");
    assert_eq!(sessions(&["get", odd]).code, 3);

    assert_eq!(sessions(&["put", "brief", "{}", "--ttl", "1s"]).code, 0);
    let deadline = Instant::now() + SOON;
    while sessions(&["get", "brief"]).code != 3 {
        assert!(Instant::now() < deadline, "it does not expire");
        sleep(LOOK).await;
    }
}

/// A revocation is kept by whoever changes the rest, until it is taken back on purpose.
pub(crate) async fn a_revocation_stays(kind: Kind) {
    let engine = Engine::start(kind).await;
    let sessions = |args: &[&str]| operate(&engine, &[&["sessions"], args].concat()).json();
    let begin = now();
    let revoked = sessions(&["revoke", "u1"]);
    let not_before = revoked["notBefore"].as_u64().expect("a time");
    assert!((begin..=now() + 1).contains(&not_before), "{revoked}");
    assert!(not_before > begin, "tokens of the same second are refused");
    assert_eq!(revoked, json!({"guilds": [], "notBefore": not_before}));

    let guilds = r#"{"guilds":[{"id":"7"}]}"#;
    assert_eq!(sessions(&["put", "u1", guilds])["notBefore"], not_before);
    let again = sessions(&["revoke", "u1"]);
    assert!(again["notBefore"].as_u64() >= Some(not_before), "{again}");
    assert_eq!(again["guilds"][0]["id"], "7", "the rest stays");
    let lifted = r#"{"guilds":[{"id":"7"}],"notBefore":null}"#;
    assert_eq!(sessions(&["put", "u1", lifted])["notBefore"], Value::Null);
}

/// A sessions file is only added to a store that servers share, also when the store comes late, and again on SIGHUP. Meanwhile the log says once what is away, and once that it is back.
pub(crate) async fn a_file_is_added_to_a_store_that_comes_late(kind: Kind) {
    let engine = Engine::start(kind).await;
    let list = || operate(&engine, &["sessions", "list"]).json();
    if engine.keeps_its_data() {
        assert_eq!(
            operate(&engine, &["sessions", "put", "there", "{}"]).code,
            0
        );
    }
    engine.stop_hard().await;
    let file = File::new(&users(0..MANY));
    let url = engine.url_at(engine.port());
    let flags = [
        "--sessions",
        &url,
        "--broker",
        &url,
        "--sessions-file",
        &file.0,
    ];
    let node = Program::start(&flags, &[("JWT_SECRET", SECRET)]);
    let (code, status) = node.status().await;
    let down = json!({"sessions": "down", "broker": "down", "metrics": "ok"});
    assert_eq!((code, &status["subsystems"]), (503, &down), "{status}");
    sleep(AWAY).await;
    let count = |text: &str| node.output().matches(text).count();
    let says = |text: &str, times: usize| {
        assert_eq!(count(text), times, "{text}:\n{}", node.output());
    };
    says("the engine of --sessions, --broker is away", 1);
    says("is back", 0);

    engine.start_again().await;
    let deadline = Instant::now() + SOON;
    while count("sessions added from their file") == 0 || count("is back") == 0 {
        assert!(Instant::now() < deadline, "not added:\n{}", node.output());
        sleep(LOOK).await;
    }
    let mut expected = users(0..MANY);
    if engine.keeps_its_data() {
        expected.insert("there".into(), json!({"guilds": []}));
    }
    assert_eq!(list(), Value::Object(expected.clone()));

    assert_eq!(
        operate(&engine, &["sessions", "put", "by-hand", "{}"]).code,
        0
    );
    expected.insert("by-hand".into(), json!({"guilds": []}));
    file.write(&users(MANY..MANY + 1));
    expected.extend(users(MANY..MANY + 1));
    hang_up(&node);
    let deadline = Instant::now() + SOON;
    while list() != Value::Object(expected.clone()) {
        assert!(Instant::now() < deadline, "not added:\n{}", node.output());
        sleep(LOOK).await;
    }
    says("the engine of --sessions, --broker is away", 1);
    says("the engine of --sessions, --broker is back", 1);
    let output = node.output();
    assert!(!output.contains(PASSWORD), "{output}");
    assert!(
        output.contains("can read the password in --sessions"),
        "{output}"
    );
    let (code, status) = node.status().await;
    assert_eq!((code, &status["status"]), (200, &json!("ok")), "{status}");
}

/// With engines that are there, a server that requires them starts; its figures come from there too.
pub(crate) async fn required_and_there(kind: Kind) {
    let engine = Engine::start(kind).await;
    let url = engine.url_at(engine.port());
    let flags = ["--require-backends", "--broker", &url, "--metrics", &url];
    let node = Program::start(&flags, &[("JWT_SECRET", SECRET)]);
    let deadline = Instant::now() + SOON;
    while node.status().await.0 != 200 {
        assert!(Instant::now() < deadline, "{}", node.output());
        sleep(LOOK).await;
    }
    engine.stop_hard().await;
    let down = json!({"sessions": "ok", "broker": "down", "metrics": "down"});
    let deadline = Instant::now() + SOON;
    loop {
        let (code, status) = node.status().await;
        if (code, &status["subsystems"]) == (503, &down) {
            break;
        }
        assert!(Instant::now() < deadline, "{status}");
        sleep(LOOK).await;
    }
}

/// Whoever comes first makes what the engine needs; those who come at the same time find it.
pub(crate) async fn many_begin_at_once(kind: Kind) {
    const AT_ONCE: usize = 12;
    let engine = Engine::start(kind).await;
    let list = || operate(&engine, &["sessions", "list"]);
    let ended: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(list)).collect();
        let ended = all.into_iter().map(|one| one.join().expect("it ends"));
        ended.collect()
    });
    for ended in ended {
        assert_eq!(ended.json(), json!({}));
    }
}

/// A command that cannot reach its engine says which flag names it.
pub(crate) async fn nobody_answers_a_command(kind: Kind) {
    let engine = Engine::start(kind).await;
    engine.stop_hard().await;
    for (args, flag) in [
        (&["sessions", "list"][..], "--sessions"),
        (&["sessions", "put", "u1", "{}"], "--sessions"),
        (&["token", "--user", "u1"], "--authenticator"),
        (&["token", "--revoke", UNKNOWN], "--authenticator"),
    ] {
        let ended = operate(&engine, args);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(
            ended.errors.contains(&format!("admin-server: {flag}: ")),
            "{ended:?}"
        );
    }
}

/// Runs the program over an engine that has sessions and tokens, to its end.
pub(crate) fn operate(engine: &Engine, args: &[&str]) -> Ended {
    operate_with(engine, args, "")
}

fn operate_with(engine: &Engine, args: &[&str], input: &str) -> Ended {
    let url = engine.url_at(engine.port());
    let mut child = Command::new(binary())
        .args(args)
        .env_clear()
        .envs([("SESSIONS_URL", &url), ("AUTHENTICATOR_URL", &url)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    // A command that reads nothing may have ended before.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let ended = Ended {
        code: output.status.code().expect("no signal"),
        printed: text(output.stdout),
        errors: text(output.stderr),
    };
    for shown in [&ended.printed, &ended.errors] {
        assert!(!shown.contains(PASSWORD), "{ended:?}");
    }
    ended
}

impl Ended {
    /// What a command that ended well printed.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.printed).expect("JSON")
    }
}

fn users(numbers: std::ops::Range<usize>) -> Map<String, Value> {
    let guilds = json!([{"id": GUILD, "roles": []}]);
    let user = |number| (format!("u{number}"), json!({"guilds": guilds}));
    numbers.map(user).collect()
}

fn hang_up(node: &Program) {
    let pid = node.pid().to_string();
    let sent = Command::new("kill").args(["-HUP", &pid]).status();
    assert!(sent.expect("a signal").success());
}

/// A sessions file, removed on drop.
struct File(String);

impl File {
    fn new(users: &Map<String, Value>) -> Self {
        let name = format!("operators-{}.json", slimy_rt::NodeId::random());
        let path = std::env::temp_dir().join(name);
        let file = Self(path.into_os_string().into_string().expect("text"));
        file.write(users);
        file
    }

    fn write(&self, users: &Map<String, Value>) {
        let text = Value::Object(users.clone()).to_string();
        std::fs::write(&self.0, text).expect("a temporary file");
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // A file that is left harms nobody.
        let _ = std::fs::remove_file(&self.0);
    }
}
