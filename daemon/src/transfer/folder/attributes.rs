//! Extended attributes of open files and folders, by handle. Linux has them as they travel; elsewhere
//! none are read, and none are taken.

#[cfg(target_os = "linux")]
pub(in crate::transfer) use self::linux::{read, write};
#[cfg(not(target_os = "linux"))]
pub(in crate::transfer) use self::unknown::{read, write};
use crate::transfer::entry::Attributes;
use crate::transfer::loss::Lost;

/// What was found of attributes.
#[derive(Debug, Default)]
pub(in crate::transfer) struct Found {
    /// Those that are sent.
    pub(in crate::transfer) attributes: Attributes,
    /// The names of those that are not, one after another, if there are any.
    pub(in crate::transfer) others: Option<Lost>,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::AsFd;

    use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
    use rustix::io::Errno;

    use super::Found;
    use crate::crash;
    use crate::transfer::entry::{Attribute, Attributes, MAX_BYTES, NAMESPACE};
    use crate::transfer::loss::{LossKind, Lost};

    /// Room for the names that most files have, and for as many as the kernel ever lists.
    const FEW_NAMES: usize = 1 << 10;
    const MOST_NAMES: usize = 64 << 10;
    /// A label that belongs to the machine, which gives every new file one.
    const LABEL: &[u8] = b"security.selinux";

    /// Reads the attributes of `file` that are sent if they are `wanted`; without, all of the user's
    /// count as not sent.
    pub(in crate::transfer) fn read(file: impl AsFd, wanted: bool) -> Found {
        let mut few = [0; FEW_NAMES];
        match flistxattr(&file, &mut few) {
            // Whatever the reason: what cannot be listed is not there for us.
            Ok(0) => Found::default(),
            Ok(len) => read_named(&file, few.get(..len).unwrap_or_default(), wanted),
            Err(Errno::RANGE) => {
                let mut many = vec![0; MOST_NAMES];
                let len = flistxattr(&file, &mut many[..]).unwrap_or(0);
                read_named(&file, many.get(..len).unwrap_or_default(), wanted)
            }
            Err(_) => Found::default(),
        }
    }

    fn read_named(file: &impl AsFd, list: &[u8], wanted: bool) -> Found {
        let mut names: Vec<&[u8]> = list
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty() && *name != LABEL)
            .collect();
        if !wanted {
            names.retain(|name| name.starts_with(NAMESPACE));
        }
        names.sort_unstable();
        let (mut found, mut others) = (Found::default(), String::new());
        let mut value = Vec::new();
        for name in names {
            let taken = wanted && name.starts_with(NAMESPACE) && {
                value.resize(MAX_BYTES, 0);
                match fgetxattr(file, name, &mut value[..]) {
                    Ok(len) => {
                        let value = value.get(..len).unwrap_or_default().to_vec();
                        found.attributes.push(Attribute { name: name.to_vec(), value }).is_ok()
                    }
                    // Removed in the very moment.
                    Err(Errno::NODATA) => true,
                    Err(_) => false,
                }
            };
            if !taken {
                name_one_more(&mut others, name);
            }
        }
        let kind = if wanted { LossKind::AttributesNeverSent } else { LossKind::AttributesNotSent };
        found.others = (!others.is_empty()).then(|| Lost::new(kind, others));
        found
    }

    /// Gives `file` these attributes, as far as its file system takes them; tells which it did not.
    pub(in crate::transfer) fn write(file: impl AsFd, attributes: &Attributes) -> Option<Lost> {
        let (mut refused, mut why) = (String::new(), None);
        for Attribute { name, value } in attributes.iter() {
            crash::point();
            if let Err(error) = fsetxattr(&file, name.as_slice(), value, XattrFlags::empty()) {
                name_one_more(&mut refused, name);
                why = Some(io::Error::from(error).kind());
            }
        }
        Some(Lost::new(LossKind::Attributes, format!("{}: {refused}", why?)))
    }

    fn name_one_more(names: &mut String, name: &[u8]) {
        if !names.is_empty() {
            names.push_str(", ");
        }
        names.extend(name.utf8_chunks().flat_map(|chunk| chunk.valid().escape_debug()));
    }
}

#[cfg(not(target_os = "linux"))]
mod unknown {
    use super::Found;
    use crate::transfer::entry::Attributes;
    use crate::transfer::loss::{LossKind, Lost};

    /// Nothing: what attributes are called and mean here is something else.
    pub(in crate::transfer) fn read<T>(_file: T, _wanted: bool) -> Found {
        Found::default()
    }

    /// Takes none.
    pub(in crate::transfer) fn write<T>(_file: T, attributes: &Attributes) -> Option<Lost> {
        let lost = || Lost::new(LossKind::Attributes, "not taken on this system");
        (!attributes.is_empty()).then(lost)
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::File;

    use rustix::fs::{XattrFlags, fsetxattr};

    use super::*;
    use crate::transfer::entry::Attribute;
    use crate::transfer::loss::LossKind;
    use crate::transfer::testing::keeps_attributes;

    fn set(file: &File, name: &str, value: &[u8]) {
        fsetxattr(file, name, value, XattrFlags::empty()).unwrap();
    }

    #[test]
    fn the_users_attributes_are_found_in_order_and_others_are_named() {
        let file = tempfile::tempfile().unwrap();
        if !keeps_attributes(&file) {
            return;
        }
        assert!(read(&file, true).attributes.is_empty());
        set(&file, "user.b", b"2");
        set(&file, "user.a", b"\0\xff");
        let Found { attributes, others } = read(&file, true);
        let found: Vec<_> = attributes.iter().map(|it| (&it.name[..], &it.value[..])).collect();
        assert_eq!(found, [(&b"user.a"[..], &b"\0\xff"[..]), (b"user.b", b"2")]);
        assert_eq!(others, None);
        let Found { attributes, others } = read(&file, false);
        assert!(attributes.is_empty());
        assert_eq!(others, Some(Lost::new(LossKind::AttributesNotSent, "user.a, user.b")));
    }

    #[test]
    fn many_names_are_found_and_what_is_beyond_the_bounds_is_named() {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        if !keeps_attributes(&file) {
            return;
        }
        for number in 0..200 {
            set(&file, &format!("user.{number:03}"), b"");
        }
        let Found { attributes, others } = read(&file, true);
        assert_eq!(attributes.iter().len(), 128);
        let others = others.unwrap();
        assert_eq!(others.kind, LossKind::AttributesNeverSent);
        assert!(others.detail.starts_with("user.128, user.129"), "{others:?}");
    }

    #[test]
    fn what_is_written_is_read_again_and_what_is_refused_is_told() {
        let [from, to] = [(); 2].map(|()| tempfile::tempfile().unwrap());
        if !keeps_attributes(&from) {
            return;
        }
        set(&from, "user.a", b"1");
        let found = read(&from, true).attributes;
        assert_eq!(write(&to, &found), None);
        assert_eq!(read(&to, true).attributes, found);
        let mut one = Attributes::default();
        one.push(Attribute { name: b"user.a".to_vec(), value: b"1".to_vec() }).unwrap();
        let lost = write(File::open("/proc/self/status").unwrap(), &one).unwrap();
        assert!(lost.detail.ends_with(": user.a"), "{}", lost.detail);
    }
}
