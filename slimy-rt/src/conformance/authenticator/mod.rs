//! The contract of [`Authenticator`].
//!
//! ```
//! use slimy_rt::UserId;
//! use slimy_rt::auth::{AuthError, Authenticator, Handshake, Identity, Role, User};
//! use slimy_rt::conformance::authenticator::{self, Candidate, Refusal};
//!
//! # #[derive(Debug)] struct Hidden;
//! /// Lets in whoever sends the right password in the CONNECT packet's payload.
//! struct OnePassword(String);
//! # impl std::fmt::Debug for OnePassword {
//! #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("OnePassword") }
//! # }
//! # #[async_trait::async_trait]
//! # impl Authenticator for OnePassword {
//! #     async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
//! #         let sent = handshake.auth()["password"].as_str().ok_or(AuthError::Missing)?;
//! #         if sent != self.0 {
//! #             return Err(AuthError::Invalid("wrong password".into()));
//! #         }
//! #         let id = UserId::parse("operator").map_err(|e| AuthError::Invalid(e.to_string().into()))?;
//! #         Ok(Identity::new(User::new(id, Role::Admin)))
//! #     }
//! # }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), slimy_rt::conformance::Failures> {
//! let sends = |password: &str| Handshake::default().with_auth(serde_json::json!({"password": password}));
//! let report = authenticator::check(move || async move {
//!     let operator = UserId::parse("operator").expect("a legal id");
//!     Candidate::new(OnePassword("open sesame".into()))
//!         .accepts(sends("open sesame"), operator, "open sesame")
//!         .refuses(sends("let me in"), Refusal::Invalid, "let me in")
//! })
//! .await?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```

mod answers;
mod hostile;
mod secrets;

use std::{future::ready, sync::Arc};

use futures_util::future::BoxFuture;

use super::{
    Clause, Failures, Report,
    run::{self, Tables, Verdict, in_time, not_applicable},
};
use crate::{
    UserId,
    auth::{AuthError, Authenticator, Handshake, Identity},
};

const NAME: &str = "Authenticator";

/// Makes the authenticators that are checked, with credentials. A closure that gives a future of a [`Candidate`] is one that offers no more than that.
pub trait AuthenticatorFactory: Send + Sync + 'static {
    /// The authenticator.
    type Authenticator: Authenticator;

    /// A fresh authenticator and credentials for it.
    fn create(&self) -> impl Future<Output = Candidate<Self::Authenticator>> + Send;

    /// Makes whatever the authenticator asks unreachable and says whether it is. Default: not offered.
    fn cut_off(&self, authenticator: &Self::Authenticator) -> impl Future<Output = bool> + Send {
        let _ = authenticator;
        ready(false)
    }
}

impl<F, Fut, A> AuthenticatorFactory for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Candidate<A>> + Send,
    A: Authenticator,
{
    type Authenticator = A;

    fn create(&self) -> impl Future<Output = Candidate<A>> + Send {
        self()
    }
}

/// An authenticator with credentials that it accepts and that it refuses.
#[derive(Debug)]
pub struct Candidate<A> {
    authenticator: A,
    good: Vec<Good>,
    bad: Vec<Bad>,
}

#[derive(Clone)]
struct Good {
    handshake: Handshake,
    user: UserId,
    secret: Box<str>,
}

#[derive(Clone)]
struct Bad {
    handshake: Handshake,
    refusal: Refusal,
    secret: Box<str>,
}

/// How a credential is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// [`AuthError::Missing`].
    Missing,
    /// [`AuthError::Invalid`].
    Invalid,
    /// [`AuthError::Expired`].
    Expired,
    /// [`AuthError::Revoked`].
    Revoked,
    /// [`AuthError::Refused`].
    Refused,
}

impl Refusal {
    /// What an error says; `None` for one that refuses nobody.
    fn of(error: &AuthError) -> Option<Self> {
        match error {
            AuthError::Missing => Some(Self::Missing),
            AuthError::Invalid(_) => Some(Self::Invalid),
            AuthError::Expired => Some(Self::Expired),
            AuthError::Revoked => Some(Self::Revoked),
            AuthError::Refused(_) => Some(Self::Refused),
            AuthError::Unavailable(_) => None,
        }
    }
}

impl<A: Authenticator> Candidate<A> {
    /// An authenticator without credentials yet.
    #[must_use]
    pub fn new(authenticator: A) -> Self {
        Self {
            authenticator,
            good: Vec::new(),
            bad: Vec::new(),
        }
    }

    /// Adds a handshake that it accepts, as this user's. `secret` is the part of it that proves who it is, as it stands in the header, the query
    /// or the payload: it must be shown nowhere, and another in its place must not be accepted.
    #[must_use]
    pub fn accepts(mut self, handshake: Handshake, user: UserId, secret: &str) -> Self {
        self.good.push(Good {
            handshake,
            user,
            secret: secret.into(),
        });
        self
    }

    /// Adds a handshake that it refuses, and how. `secret` is the part of it that must be shown nowhere; it may be empty.
    #[must_use]
    pub fn refuses(mut self, handshake: Handshake, refusal: Refusal, secret: &str) -> Self {
        self.bad.push(Bad {
            handshake,
            refusal,
            secret: secret.into(),
        });
        self
    }
}

impl<A> Candidate<A> {
    /// The same credentials for another authenticator, such as one that wraps this one.
    #[must_use]
    pub fn map<B>(self, wrap: impl FnOnce(A) -> B) -> Candidate<B> {
        Candidate {
            authenticator: wrap(self.authenticator),
            good: self.good,
            bad: self.bad,
        }
    }
}

impl std::fmt::Debug for Good {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Good")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bad")
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

/// Checks every clause, each on a fresh authenticator.
///
/// # Errors
/// [`Failures`] when a clause is broken.
pub async fn check(factory: impl AuthenticatorFactory) -> Result<Report, Failures> {
    run::check(NAME, TABLES, harness(factory)).await
}

/// Checks the clause of that name, on a fresh authenticator.
///
/// # Errors
/// [`Failures`] when the clause is broken, or there is none of that name.
pub async fn check_clause(
    factory: impl AuthenticatorFactory,
    name: &str,
) -> Result<Report, Failures> {
    run::check_clause(NAME, TABLES, harness(factory), name).await
}

/// The clauses, in the order in which they are checked.
#[must_use]
pub fn clauses() -> Vec<Clause> {
    run::list(TABLES)
}

const TABLES: Tables<Harness> = &[answers::CLAUSES, hostile::CLAUSES, secrets::CLAUSES];

/// The factory without its type: the clauses are compiled once, and not for each backend.
#[derive(Clone)]
struct Harness(Arc<dyn Erased>);

trait Erased: Send + Sync {
    fn create(&self) -> BoxFuture<'_, Subject>;
}

/// A candidate, and what its factory can do with it.
struct Subject {
    authenticator: Arc<dyn Authenticator>,
    good: Vec<Good>,
    bad: Vec<Bad>,
    controls: Box<dyn Controls>,
}

trait Controls: Send + Sync {
    fn cut_off(&self) -> BoxFuture<'_, bool>;
}

struct Of<F>(Arc<F>);

struct CandidateOf<F: AuthenticatorFactory> {
    factory: Arc<F>,
    authenticator: Arc<F::Authenticator>,
}

fn harness<F: AuthenticatorFactory>(factory: F) -> Harness {
    Harness(Arc::new(Of(Arc::new(factory))))
}

impl<F: AuthenticatorFactory> Erased for Of<F> {
    fn create(&self) -> BoxFuture<'_, Subject> {
        Box::pin(async {
            let Candidate {
                authenticator,
                good,
                bad,
            } = self.0.create().await;
            let authenticator = Arc::new(authenticator);
            Subject {
                authenticator: Arc::clone(&authenticator) as _,
                good,
                bad,
                controls: Box::new(CandidateOf {
                    factory: Arc::clone(&self.0),
                    authenticator,
                }),
            }
        })
    }
}

impl<F: AuthenticatorFactory> Controls for CandidateOf<F> {
    fn cut_off(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.factory.cut_off(&self.authenticator))
    }
}

impl Harness {
    async fn subject(&self) -> Subject {
        self.0.create().await
    }

    /// One with a credential that it accepts.
    async fn accepting(&self) -> Verdict<Subject> {
        let subject = self.subject().await;
        if subject.good.is_empty() {
            return not_applicable("the candidate has no handshake that is accepted (`accepts`)");
        }
        Ok(subject)
    }

    /// One with a credential that it refuses.
    async fn refusing(&self) -> Verdict<Subject> {
        let subject = self.subject().await;
        if subject.bad.is_empty() {
            return not_applicable("the candidate has no handshake that is refused (`refuses`)");
        }
        Ok(subject)
    }
}

impl Subject {
    async fn ask(&self, handshake: &Handshake) -> Verdict<Result<Identity, AuthError>> {
        in_time("authenticate", self.authenticator.authenticate(handshake)).await
    }
}
