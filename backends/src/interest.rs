//! Which part of a log a node has to hear: rooms fall into buckets, and a node hears the buckets in which it has members.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use slimy_rt::{
    Room,
    broker::{Audience, Interest},
};

/// How many buckets rooms fall into.
pub(crate) const ROOM_BUCKETS: u8 = 63;
/// The bucket that every node hears: what goes to everyone, to single sockets, or to rooms of many buckets.
pub(crate) const EVERYONE: u8 = ROOM_BUCKETS;

/// Of more buckets than these, a publication goes into the one that every node hears.
const MAX_BUCKETS: u32 = 4;
/// How long a socket's id is. A node is not told of interest in the room of a single socket.
const SOCKET_ID_LEN: usize = 20;

/// The bucket of a room: the same in every process and version, since it decides what is stored where.
pub(crate) fn bucket_of(room: &Room) -> u8 {
    if room.as_str().len() == SOCKET_ID_LEN {
        return EVERYONE;
    }
    // FNV-1a: stable by definition, and good enough for names.
    let hash = room
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    (hash % u64::from(ROOM_BUCKETS)) as u8
}

/// The buckets that rooms fall into, one bit for each; that of everyone when there are no rooms.
pub(crate) fn buckets_of(rooms: &[Room]) -> u64 {
    if rooms.is_empty() {
        return 1 << EVERYONE;
    }
    rooms
        .iter()
        .fold(0, |mask, room| mask | 1 << bucket_of(room))
}

/// The buckets that a publication is put into.
pub(crate) fn buckets_for(audience: &Audience) -> u64 {
    let mask = buckets_of(&audience.rooms);
    if mask & 1 << EVERYONE != 0 || mask.count_ones() > MAX_BUCKETS {
        return 1 << EVERYONE;
    }
    mask
}

/// How many rooms with members a node has in each bucket.
#[derive(Debug)]
pub(crate) struct Interests([AtomicU32; ROOM_BUCKETS as usize]);

impl Interests {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU32::new(0)))
    }

    /// Counts a change; says whether a bucket is wanted now that was not before.
    pub(crate) fn change(&self, change: Interest<'_>) -> bool {
        let (room, came) = match change {
            Interest::Began { room, .. } => (room, true),
            Interest::Ceased { room, .. } => (room, false),
        };
        let Some(count) = self.0.get(usize::from(bucket_of(room))) else {
            return false;
        };
        if came {
            return count.fetch_add(1, SeqCst) == 0;
        }
        // Never below none, whatever is said.
        let _ = count.fetch_update(SeqCst, SeqCst, |count| count.checked_sub(1));
        false
    }

    /// The buckets that are wanted, with that of everyone.
    pub(crate) fn mask(&self) -> u64 {
        let wanted = self.0.iter().enumerate();
        wanted.fold(1 << EVERYONE, |mask, (bucket, count)| {
            mask | u64::from(count.load(SeqCst) > 0) << bucket
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> Room {
        Room::parse(name).unwrap()
    }

    #[test]
    fn buckets_are_stable() {
        // Computed apart from this code, by one that gives the published vectors of FNV-1a.
        assert_eq!(
            [
                bucket_of(&room("a")),
                bucket_of(&room("admins")),
                bucket_of(&room("guild:1"))
            ],
            [61, 2, 45]
        );
        assert_eq!(bucket_of(&room("01234567890123456789")), EVERYONE);
    }

    #[test]
    fn publications_go_where_their_rooms_are() {
        let audience = |rooms: &[&str]| Audience {
            rooms: rooms.iter().map(|name| room(name)).collect(),
            except: Vec::new(),
        };
        let everyone = 1 << EVERYONE;
        assert_eq!(buckets_for(&audience(&[])), everyone);
        assert_eq!(buckets_for(&audience(&["a"])), 1 << 61);
        assert_eq!(
            buckets_for(&audience(&["a", "admins", "a"])),
            1 << 61 | 1 << 2
        );
        assert_eq!(
            buckets_for(&audience(&["a", "01234567890123456789"])),
            everyone
        );
        assert_eq!(buckets_for(&audience(&["a", "b", "c", "d", "e"])), everyone);
    }

    #[test]
    fn interest_is_counted() {
        let interests = Interests::new();
        let (a, everyone) = (room("a"), 1 << EVERYONE);
        let began = || {
            interests.change(Interest::Began {
                namespace: "/",
                room: &a,
            })
        };
        let ceased = || {
            interests.change(Interest::Ceased {
                namespace: "/",
                room: &a,
            })
        };
        assert_eq!(interests.mask(), everyone);
        assert!(!ceased() && began() && !began());
        assert_eq!(interests.mask(), everyone | 1 << 61);
        assert!(!ceased());
        assert_eq!(interests.mask(), everyone | 1 << 61);
        assert!(!ceased());
        assert_eq!(interests.mask(), everyone);
    }
}
