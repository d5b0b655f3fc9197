//! How programs name rooms, and why a socket may not be in one.

use crate::{GuildId, InvalidId, Room, SocketId};

/// What names a room: a [`Room`], its text, a socket (the room of that socket alone) or a guild.
///
/// ```
/// use slimy_rt::{Room, events::IntoRoom};
///
/// assert_eq!("lobby".into_room()?, Room::parse("lobby")?);
/// assert!("".into_room().is_err());
/// # Ok::<(), slimy_rt::InvalidId>(())
/// ```
pub trait IntoRoom {
    /// The room.
    ///
    /// # Errors
    /// When the text cannot be a room's name: see [`Room::parse`].
    fn into_room(self) -> Result<Room, InvalidId>;
}

impl IntoRoom for Room {
    fn into_room(self) -> Result<Room, InvalidId> {
        Ok(self)
    }
}

impl IntoRoom for &Room {
    fn into_room(self) -> Result<Room, InvalidId> {
        Ok(self.clone())
    }
}

impl IntoRoom for &str {
    fn into_room(self) -> Result<Room, InvalidId> {
        Room::parse(self)
    }
}

impl IntoRoom for String {
    fn into_room(self) -> Result<Room, InvalidId> {
        Room::parse(&self)
    }
}

impl IntoRoom for &String {
    fn into_room(self) -> Result<Room, InvalidId> {
        Room::parse(self)
    }
}

impl IntoRoom for &SocketId {
    fn into_room(self) -> Result<Room, InvalidId> {
        Ok(Room::of_socket(self))
    }
}

impl IntoRoom for &GuildId {
    fn into_room(self) -> Result<Room, InvalidId> {
        Ok(Room::guild(self))
    }
}

/// Why a socket did not join a room.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// It is in as many rooms as it may be.
    #[error("the socket is in {limit} rooms already, as many as `max_rooms_per_socket` allows")]
    TooManyRooms {
        /// `Config::max_rooms_per_socket`.
        limit: usize,
    },
    /// That is no room's name.
    #[error(transparent)]
    Name(#[from] InvalidId),
    /// It is no longer in its namespace.
    #[error("the socket is no longer connected")]
    NotConnected,
}
