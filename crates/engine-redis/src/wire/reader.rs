//! Takes bytes apart from front to back.

use bytes::{Buf, Bytes};
use switchboard_core::{NodeId, SessionId};

use super::Garbage;

pub(super) struct Reader(Bytes);

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Garbage> {
        self.0.try_get_u8().map_err(|_| Garbage)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Garbage> {
        self.0.try_get_u32().map_err(|_| Garbage)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Garbage> {
        self.0.try_get_u64().map_err(|_| Garbage)
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, Garbage> {
        let length = self.u32()? as usize;
        if length > self.0.len() {
            return Err(Garbage);
        }
        Ok(self.0.split_to(length))
    }

    pub(super) fn text(&mut self) -> Result<Box<str>, Garbage> {
        let bytes = self.bytes()?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Garbage)?;
        Ok(text.into())
    }

    pub(super) fn session(&mut self) -> Result<SessionId, Garbage> {
        Ok(SessionId {
            node: NodeId(self.u32()?),
            shard: self.0.try_get_u16().map_err(|_| Garbage)?,
            slot: self.u32()?,
            generation: self.u32()?,
        })
    }

    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Garbage>,
    ) -> Result<Option<T>, Garbage> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(Garbage),
        }
    }

    /// Nothing is reserved ahead: a count proves nothing.
    pub(super) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Garbage>,
    ) -> Result<Vec<T>, Garbage> {
        let count = self.u32()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    pub(super) fn end(&self) -> Result<(), Garbage> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Garbage)
        }
    }
}
