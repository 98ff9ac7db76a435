//! Extended attributes that travel with an entry: those of the namespace `user` and no others.

/// What every name begins with.
pub(crate) const NAMESPACE: &[u8] = b"user.";
/// The longest name, as Linux has it.
pub(crate) const MAX_NAME: usize = 255;
/// The most attributes of one entry.
pub(crate) const MAX_ATTRIBUTES: usize = 128;
/// The most bytes of the names and values of one entry.
pub(crate) const MAX_BYTES: usize = 16 << 10;

/// Some attributes, each with a name of its own, in the order of the names; within the bounds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes(Vec<Attribute>);

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// With its namespace.
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// Why an attribute does not travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// Only `user.*` does.
    #[error("not of the namespace user")]
    OtherNamespace,
    /// No system has such a name.
    #[error("its name is impossible")]
    BadName,
    /// Another one has its name, or the names are in no order.
    #[error("out of order")]
    OutOfOrder,
    /// The entry has too many, or they are too large.
    #[error("more than is sent of one entry")]
    TooMany,
}

impl Attributes {
    /// Adds one with a name that comes after all others.
    pub(crate) fn push(&mut self, attribute: Attribute) -> Result<(), AttributeError> {
        let Attribute { name, value } = &attribute;
        if !name.starts_with(NAMESPACE) {
            return Err(AttributeError::OtherNamespace);
        }
        if name.len() == NAMESPACE.len() || name.len() > MAX_NAME || name.contains(&0) {
            return Err(AttributeError::BadName);
        }
        if self.0.last().is_some_and(|last| last.name >= *name) {
            return Err(AttributeError::OutOfOrder);
        }
        if self.0.len() >= MAX_ATTRIBUTES || self.bytes() + name.len() + value.len() > MAX_BYTES {
            return Err(AttributeError::TooMany);
        }
        self.0.push(attribute);
        Ok(())
    }

    /// Bytes of all names and values.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|Attribute { name, value }| name.len() + value.len()).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Attribute> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(name: &[u8], len: usize) -> Attribute {
        Attribute { name: name.to_vec(), value: vec![7; len] }
    }

    #[test]
    fn only_the_users_own_travel_in_order_and_within_the_bounds() {
        let mut attributes = Attributes::default();
        let mut push = |name: &[u8], len| attributes.push(attribute(name, len));
        for name in
            [&b"security.selinux"[..], b"trusted.x", b"system.posix_acl_access", b"users.x", b""]
        {
            assert_eq!(push(name, 1), Err(AttributeError::OtherNamespace));
        }
        for name in
            [b"user.".to_vec(), b"user.a\0b".to_vec(), [b"user.", &[b'x'; 251][..]].concat()]
        {
            assert_eq!(push(&name, 1), Err(AttributeError::BadName));
        }
        assert_eq!(push(b"user.b", 1), Ok(()));
        assert_eq!(push(b"user.a", 1), Err(AttributeError::OutOfOrder));
        assert_eq!(push(b"user.b", 1), Err(AttributeError::OutOfOrder));
        assert_eq!(push(b"user.c", MAX_BYTES), Err(AttributeError::TooMany));
        assert_eq!(push(b"user.c", MAX_BYTES - 13), Ok(()));
        assert_eq!(push(b"user.d", 0), Err(AttributeError::TooMany));
        assert_eq!(attributes.bytes(), MAX_BYTES);
    }

    #[test]
    fn their_number_is_bounded() {
        let mut attributes = Attributes::default();
        let pushed = (0..300).take_while(|number| {
            attributes.push(attribute(format!("user.{number:03}").as_bytes(), 0)).is_ok()
        });
        assert_eq!(pushed.count(), MAX_ATTRIBUTES);
        assert!(!attributes.is_empty() && attributes.iter().len() == MAX_ATTRIBUTES);
    }
}
