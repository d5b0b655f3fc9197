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
    Running: "../../book/src/running.md",
    Concepts: "../../book/src/concepts.md",
    Tutorial: "../../book/src/tutorial.md",
    GuideEvents: "../../book/src/guide/events.md",
    GuideNamespaces: "../../book/src/guide/namespaces.md",
    GuideSending: "../../book/src/guide/sending.md",
    GuideMiddleware: "../../book/src/guide/middleware.md",
    GuideDiagnostics: "../../book/src/guide/diagnostics.md",
    BackendAuthenticator: "../../book/src/backends/authenticator.md",
    BackendSessionStore: "../../book/src/backends/session-store.md",
    BackendBroker: "../../book/src/backends/broker.md",
    BackendMetrics: "../../book/src/backends/metrics.md",
    BackendRedis: "../../book/src/backends/redis.md",
    BackendPostgres: "../../book/src/backends/postgres.md",
    BackendWriting: "../../book/src/backends/writing.md",
    Delivery: "../../book/src/delivery.md",
    Recovery: "../../book/src/recovery.md",
    Axum: "../../book/src/axum.md",
    Migrating: "../../book/src/migrating.md",
    GuideTesting: "../../book/src/guide/testing.md",
    Faq: "../../book/src/faq.md",
    Proving: "../../book/src/backends/proving.md",
    Chat: "../../book/src/chat.md",
    ReferenceHttp: "../../book/src/reference/http.md",
    ReferenceEvents: "../../book/src/reference/events.md",
    OperationsPage: "../../book/src/operations/page.md",
    OperationsMonitoring: "../../book/src/operations/monitoring.md",
    Configuration: "../../book/src/configuration.md",
    Architecture: "../../book/src/architecture.md",
    Decisions: "../../book/src/decisions.md",
    Dependencies: "../../book/src/dependencies.md",
    Testing: "../../book/src/testing.md",
    Limits: "../../book/src/limits.md",
    LimitsAndHardening: "../../book/src/limits-and-hardening.md",
}
