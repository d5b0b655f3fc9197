//! The JWT-cookie authenticator.
