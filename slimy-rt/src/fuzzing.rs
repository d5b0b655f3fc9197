//! What the fuzz targets reach beside the public interface: three readers that are private.

pub use crate::{auth::jwt_cookie, chat::parse_message, server::meter};
