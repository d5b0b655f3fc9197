use slimy_rt::{
    UserId, async_trait,
    auth::{AuthError, Authenticator, Handshake, Identity, Role, User},
};

/// Lets in whoever knows one of two codes: agents become administrators, guests do not.
pub struct Codes {
    agent: String,
    guest: String,
}

impl Codes {
    pub fn new(agent: &str, guest: &str) -> Self {
        Self {
            agent: agent.to_owned(),
            guest: guest.to_owned(),
        }
    }
}

/// The codes are secrets: they must not be in `Debug` output.
impl std::fmt::Debug for Codes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codes").finish_non_exhaustive()
    }
}

#[async_trait]
impl Authenticator for Codes {
    async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, AuthError> {
        let auth = handshake.auth();
        let code = auth["code"].as_str().ok_or(AuthError::Missing)?;
        let role = if code == self.agent {
            Role::Admin
        } else if code == self.guest {
            Role::Member
        } else {
            return Err(AuthError::Invalid("wrong code".into()));
        };
        let name = auth["name"].as_str().ok_or(AuthError::Missing)?;
        let id = UserId::parse(name)?;
        Ok(Identity::new(User::new(id, role)))
    }
}
