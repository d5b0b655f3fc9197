//! Nothing: the cases are in `cases`, and `tests/mistakes.rs` compiles them.
