//! Mistakes that the compiler finds, and what it says about them.

#[test]
fn mistakes_have_readable_errors() {
    trybuild::TestCases::new().compile_fail("cases/*.rs");
}
