//! The book's tutorial: its files compile, its tests pass, and the page shows them as they are. So does the README with the quickstart.

/// The tutorial's library, under the name that its tests use.
#[path = "../../book/tutorial/src/lib.rs"]
#[allow(unreachable_pub)]
mod helpdesk;

include!("../../book/tutorial/tests/desk.rs");

const PAGE: &str = include_str!("../../book/src/tutorial.md");

#[test]
fn the_page_shows_the_files() {
    let files = [
        include_str!("../../book/tutorial/src/auth.rs"),
        include_str!("../../book/tutorial/src/desk.rs"),
        include_str!("../../book/tutorial/src/lib.rs"),
        include_str!("../../book/tutorial/src/main.rs"),
        include_str!("../../book/tutorial/tests/desk.rs"),
        include_str!("../../book/tutorial/desk.test.mjs"),
    ];
    let shown = |line: &&str| !line.starts_with("# ");
    let page: Vec<&str> = PAGE.lines().filter(shown).collect();
    let page = page.join("\n");
    for file in files {
        let first = file.lines().next().unwrap_or_default();
        assert!(page.contains(file), "the file that begins with {first:?}");
    }
}

#[test]
fn the_readme_shows_the_quickstart() {
    let readme = include_str!("../../README.md");
    let (_, after) = readme
        .split_once("<!-- quickstart -->\n```rust,no_run\n")
        .expect("where it begins");
    let (shown, _) = after
        .split_once("```\n<!-- end of quickstart -->\n")
        .expect("where it ends");
    assert_eq!(shown, include_str!("../../examples/quickstart.rs"));
}
