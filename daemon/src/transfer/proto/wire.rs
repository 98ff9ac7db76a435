//! The primitives of the peer protocol's binary layout: big-endian integers and byte strings whose
//! length is checked against a bound before anything is allocated.

use thiserror::Error;

/// Why bytes from a peer are not a message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum WireError {
    /// The bytes end inside a field.
    #[error("message ends inside a field")]
    Truncated,
    /// A length or a count is above its bound.
    #[error("{field} is {found}, at most {most} are allowed")]
    TooLong { field: &'static str, found: u64, most: u64 },
    /// A field holds a value that it must not hold.
    #[error("{0} has an invalid value")]
    Invalid(&'static str),
    /// Bytes are left over after the last field.
    #[error("bytes are left over after the last field")]
    Trailing,
}

/// Reads fields from the front of a byte slice.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        self.take(N)?.try_into().map_err(|_| WireError::Truncated)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, WireError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub(crate) fn bool(&mut self, field: &'static str) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Invalid(field)),
        }
    }

    /// A byte string behind a `u16` length of at most `most`.
    pub(crate) fn bytes(&mut self, field: &'static str, most: u16) -> Result<&'a [u8], WireError> {
        let len = self.u16()?;
        if len > most {
            return Err(WireError::TooLong { field, found: len.into(), most: most.into() });
        }
        self.take(len.into())
    }

    /// A count of following items, at most `most`.
    pub(crate) fn count(&mut self, field: &'static str, most: u16) -> Result<u16, WireError> {
        let found = self.u16()?;
        if found > most {
            return Err(WireError::TooLong { field, found: found.into(), most: most.into() });
        }
        Ok(found)
    }

    /// Proves that nothing is left.
    pub(crate) fn end(&self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::Trailing) }
    }
}

/// Appends a byte string behind its `u16` length, cut to what the length can say.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&bytes[..usize::from(len)]);
}
