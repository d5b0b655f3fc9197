pub mod auth;
pub mod desk;

use self::{auth::Codes, desk::Desk};
use slimy_rt::server::{BuildError, Server};

/// Puts the server together. Call it inside of a Tokio runtime: its tasks start at once.
pub fn server(codes: Codes) -> Result<Server, BuildError> {
    Server::builder(codes)
        .state(Desk::default())
        .namespace(desk::namespace())
        .build()
}
