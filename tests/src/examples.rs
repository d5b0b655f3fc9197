//! The examples of the README and of the book, as doctests: what they show compiles, and what can run does.
//!
//! This package has every feature of the libraries, so that each page can show any of them.

macro_rules! examples {
    ($($name:ident: $page:literal,)*) => {
        $(
            #[doc = include_str!($page)]
            struct $name;
        )*
    };
}

examples! {
    Readme: "../../README.md",
    Introduction: "../../book/src/introduction.md",
    GettingStarted: "../../book/src/getting-started.md",
    Operators: "../../book/src/getting-started/operators.md",
    Integrators: "../../book/src/getting-started/integrators.md",
    Chat: "../../book/src/chat.md",
    Http: "../../book/src/http.md",
    Configuration: "../../book/src/configuration.md",
    Architecture: "../../book/src/architecture.md",
    Decisions: "../../book/src/decisions.md",
    Dependencies: "../../book/src/dependencies.md",
    Testing: "../../book/src/testing.md",
    Limits: "../../book/src/limits.md",
    LimitsAndHardening: "../../book/src/limits-and-hardening.md",
}
