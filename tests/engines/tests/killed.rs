//! A test program that is killed leaves nothing behind.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use slimy_rt_test_engines::{Postgres, Redis};

const NAME: &str = "its_servers_and_directories_go_with_it";
const VARIABLE: &str = "ENGINES_TO_BE_KILLED";

/// Processes that work in a directory.
fn working_in(directory: &Path) -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter(|process| {
            fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(directory))
        })
        .count()
}

/// What the program does that will be killed: names both directories, and waits.
async fn start_and_wait() {
    let redis = Redis::shared().await;
    let directory = redis.cli(&["CONFIG", "GET", "dir"]).await;
    let directory = directory.array()[1].text();
    let postgres = Postgres::start().await;
    let data = postgres.psql("SHOW data_directory").await;
    postgres.pause();
    println!("\ndirectory {directory}\ndirectory {data}");
    std::future::pending().await
}

#[tokio::test]
async fn its_servers_and_directories_go_with_it() {
    if std::env::var_os(VARIABLE).is_some() {
        return start_and_wait().await;
    }
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(VARIABLE, "yes")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let directories = lines.filter_map(|line| {
        let line = line.unwrap();
        line.strip_prefix("directory ").map(PathBuf::from)
    });
    let directories: Vec<_> = directories.take(2).collect();
    assert_eq!(directories.len(), 2, "it ended before");
    assert!(
        directories
            .iter()
            .all(|directory| working_in(directory) > 0)
    );
    program.kill().unwrap();
    program.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Some(left) = directories
        .iter()
        .find(|directory| directory.exists() || working_in(directory) > 0)
    {
        assert!(Instant::now() < deadline, "{} is left", left.display());
        thread::sleep(Duration::from_millis(20));
    }
}
