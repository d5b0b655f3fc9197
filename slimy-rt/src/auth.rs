//! Who is connecting: the [`Authenticator`] trait, what it is given and what it answers.

mod cookie;
mod handshake;
#[cfg(feature = "jwt")]
mod jwt;

use std::{error::Error as StdError, fmt, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

#[cfg(fuzzing)]
pub use self::cookie::jwt_cookie;
pub use self::handshake::{Handshake, HandshakeBuilder};
#[cfg(feature = "jwt")]
pub use self::jwt::*;
use crate::{InvalidId, TokenId, UserId, events::ConnectError};

/// Decides who a connecting client is.
///
/// # Contract
/// * The answer depends on the [`Handshake`] and on what the implementation knows, never on earlier calls: a client
///   that reconnects is asked again, and so is each namespace that it joins.
/// * An [`Identity`] is given only to a client that has proved it. Whatever is missing, malformed, expired or denied
///   is an [`AuthError`] other than [`AuthError::Unavailable`].
/// * An outage is [`AuthError::Unavailable`]: the client is told `server_error` and comes back. It is neither let in nor told that
///   it has no right.
///
/// # Ordering
/// Calls run concurrently; none depends on another.
///
/// # Cancellation
/// The future is dropped when the client goes away or the connect timeout passes. Dropping it must leave no lock held and nothing half
/// done.
///
/// # Errors
/// The variant decides what the client is told; the cause is logged and never sent. Nothing shows the credential: neither an error, nor
/// `Debug` of the authenticator, nor an identity's [`TokenId`].
///
/// The feature `conformance` checks an implementation against this contract, clause by clause.
///
/// # Example
/// A complete implementation that lets in whoever sends the right password in the CONNECT packet's payload:
/// ```
/// use async_trait::async_trait;
/// use slimy_rt::UserId;
/// use slimy_rt::auth::{AuthError, Authenticator, Handshake, Identity, Role, User};
///
/// #[derive(Debug)]
/// struct OnePassword(String);
///
/// #[async_trait]
/// impl Authenticator for OnePassword {
///     async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
///         let sent = handshake.auth()["password"].as_str().ok_or(AuthError::Missing)?;
///         if sent != self.0 {
///             return Err(AuthError::Invalid("wrong password".into()));
///         }
///         let id = UserId::parse("operator")?;
///         Ok(Identity::new(User::new(id, Role::Admin)))
///     }
/// }
/// ```
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// Who `handshake` comes from.
    ///
    /// # Errors
    /// See the trait's contract.
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError>;
}

#[async_trait]
impl<T: Authenticator + ?Sized> Authenticator for Arc<T> {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        (**self).authenticate(handshake).await
    }
}

#[async_trait]
impl<T: Authenticator + ?Sized> Authenticator for Box<T> {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        (**self).authenticate(handshake).await
    }
}

/// Why a client is not let in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// There is no credential.
    #[error("no credential was sent")]
    Missing,
    /// The credential is malformed, forged, not valid yet, or of the wrong kind. The text is for the log.
    #[error("the credential is not valid: {0}")]
    Invalid(Box<str>),
    /// The credential was valid and has expired.
    #[error("the credential has expired")]
    Expired,
    /// The credential was denied before it expired.
    #[error("the credential was revoked")]
    Revoked,
    /// It is refused in the program's own words: the client's `connect_error` gets the message and the data.
    #[error("refused: {0}")]
    Refused(ConnectError),
    /// It cannot be found out now.
    #[error("the authenticator cannot answer")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
}

impl From<ConnectError> for AuthError {
    fn from(error: ConnectError) -> Self {
        Self::Refused(error)
    }
}

/// A credential that names somebody who cannot be.
impl From<InvalidId> for AuthError {
    fn from(error: InvalidId) -> Self {
        Self::Invalid(error.to_string().into())
    }
}

impl AuthError {
    /// Whether asking again later may give another answer.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// What a user may do. The order is that of power.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A member of guilds. Also what an unknown role counts as.
    #[default]
    Member,
    /// A member with the club's colours.
    Club,
    /// An administrator: in every guild, and in the room `admins`.
    Admin,
}

impl Role {
    /// Reads a role's name; `owner` is an admin everywhere, and an unknown one is a member.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "admin" | "owner" => Self::Admin,
            "club" => Self::Club,
            _ => Self::Member,
        }
    }

    /// The name that clients know.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Club => "club",
            Self::Admin => "admin",
        }
    }

    /// Whether this is an administrator.
    #[must_use]
    pub fn is_admin(self) -> bool {
        self == Self::Admin
    }
}

/// A user, as the credential describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct User {
    /// The user's identifier.
    pub id: UserId,
    /// The account's name.
    pub username: Option<Box<str>>,
    /// The name to show.
    pub global_name: Option<Box<str>>,
    /// The picture: an URL or a hash, passed on as it is.
    pub avatar: Option<Box<str>>,
    /// The role in the credential; a session may override it.
    pub role: Role,
}

impl User {
    /// A user without names.
    #[must_use]
    pub fn new(id: UserId, role: Role) -> Self {
        Self {
            id,
            username: None,
            global_name: None,
            avatar: None,
            role,
        }
    }

    /// Sets the account's name.
    #[must_use]
    pub fn username(mut self, name: impl Into<Box<str>>) -> Self {
        self.username = Some(name.into());
        self
    }

    /// Sets the name to show.
    #[must_use]
    pub fn global_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.global_name = Some(name.into());
        self
    }

    /// The name to show: the global name, else the user name, else the id. An empty name counts as none.
    #[must_use]
    pub fn display_name(&self) -> &str {
        let named = |name: &'_ Option<Box<str>>| name.as_deref().is_some_and(|n| !n.is_empty());
        match (&self.global_name, &self.username) {
            (Some(name), _) if named(&self.global_name) => name,
            (_, Some(name)) if named(&self.username) => name,
            _ => self.id.as_str(),
        }
    }
}

/// A client that has proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// Who it is.
    pub user: User,
    /// When the credential ends; the socket is closed within 2 s of it. `None`: it does not end by itself.
    pub expires_at: Option<SystemTime>,
    /// When the credential was issued; compared with a session's [`not_before`](crate::session::Session::not_before).
    pub issued_at: Option<SystemTime>,
    /// Names the credential, so that it can be denied. `None`: it cannot be denied singly.
    pub token: Option<TokenId>,
}

impl Identity {
    /// An identity that does not end by itself.
    #[must_use]
    pub fn new(user: User) -> Self {
        Self {
            user,
            expires_at: None,
            issued_at: None,
            token: None,
        }
    }

    /// Sets when the credential ends.
    #[must_use]
    pub fn expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// Sets when the credential was issued.
    #[must_use]
    pub fn issued_at(mut self, at: SystemTime) -> Self {
        self.issued_at = Some(at);
        self
    }

    /// Sets the name under which the credential can be denied.
    #[must_use]
    pub fn token(mut self, token: TokenId) -> Self {
        self.token = Some(token);
        self
    }
}
