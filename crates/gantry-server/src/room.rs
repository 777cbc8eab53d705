//! Room for what is on its way to clients. An answer stays in memory until its client has taken it, and some
//! take it slowly: all of them together must not use up the memory.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

/// For all answers together.
static ANSWERS: Room = Room::of_kibibytes(512 << 10);
/// An answer up to this size, in bytes, needs no room. There are as many as connections at the most.
const SMALL: usize = 16 << 10;

/// So much memory.
struct Room(Semaphore);

/// Bytes that take up room until they are dropped.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    #[expect(dead_code, reason = "the room is given back when this is dropped")]
    room: Option<SemaphorePermit<'static>>,
}

/// The same bytes, on their way to several clients.
#[derive(Debug, Clone)]
pub(crate) struct Shared(pub(crate) Arc<Held>);

/// There is no room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many large answers are on their way at this moment")]
pub(crate) struct NoRoom;

impl Room {
    const fn of_kibibytes(kibibytes: usize) -> Self {
        Self(Semaphore::const_new(kibibytes))
    }

    fn hold(&'static self, bytes: Vec<u8>) -> Result<Held, NoRoom> {
        if bytes.len() <= SMALL {
            return Ok(Held { bytes, room: None });
        }
        let kibibytes = u32::try_from(bytes.len().div_ceil(1 << 10)).map_err(|_| NoRoom)?;
        let room = self.0.try_acquire_many(kibibytes).map_err(|_| NoRoom)?;
        Ok(Held { bytes, room: Some(room) })
    }
}

impl Held {
    /// Takes up room for an answer.
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self, NoRoom> {
        ANSWERS.hold(bytes)
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_its_way_has_an_end_and_room_is_given_back() {
        static ROOM: Room = Room::of_kibibytes(100);
        let first = ROOM.hold(vec![1; 60 << 10]).expect("there is room");
        assert_eq!(ROOM.hold(vec![2; 60 << 10]).err(), Some(NoRoom));
        assert_eq!(ROOM.hold(vec![3; SMALL]).expect("it is small").as_ref(), [3; SMALL]);
        drop(first);
        ROOM.hold(vec![2; 60 << 10]).expect("there is room again");
    }
}
