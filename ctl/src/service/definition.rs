//! Files that define a service: written whole or not at all, and never over one that somebody else
//! wrote.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::ServiceError;

/// By this line a file is known to be ours.
pub(super) const MARK: &str =
    "Written by \"ffctl service install\", which overwrites what is changed here.";

/// Writes `text`, which holds [`MARK`], unless it is there already. Whether it was not.
pub(super) fn write(file: &Path, text: &str) -> Result<bool, ServiceError> {
    let failed = |error| ServiceError::Definition(file.to_owned(), error);
    match read_own(file)? {
        Some(found) if found == text => return Ok(false),
        _ => {}
    }
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir).map_err(failed)?;
    }
    let partial = file.with_extension("new");
    fs::write(&partial, text).map_err(failed)?;
    fs::rename(&partial, file).map_err(failed)?;
    Ok(true)
}

/// Removes the file. Whether there was one.
pub(super) fn remove(file: &Path) -> Result<bool, ServiceError> {
    if read_own(file)?.is_none() {
        return Ok(false);
    }
    fs::remove_file(file).map_err(|error| ServiceError::Definition(file.to_owned(), error))?;
    Ok(true)
}

/// What is there, if anything.
fn read_own(file: &Path) -> Result<Option<String>, ServiceError> {
    match fs::read_to_string(file) {
        Ok(text) if text.contains(MARK) => Ok(Some(text)),
        Ok(_) => Err(ServiceError::Foreign(file.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(ServiceError::Foreign(file.to_owned()))
        }
        Err(error) => Err(ServiceError::Definition(file.to_owned(), error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_file_is_written_once_changed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("deep/unit");
        let (first, second) = (format!("{MARK}\n1"), format!("{MARK}\n2"));
        assert!(write(&file, &first).unwrap());
        assert!(!write(&file, &first).unwrap());
        assert!(write(&file, &second).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), second);
        assert!(remove(&file).unwrap());
        assert!(!remove(&file).unwrap());
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn what_somebody_else_wrote_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("unit");
        fs::write(&file, "my own").unwrap();
        assert!(matches!(write(&file, MARK), Err(ServiceError::Foreign(_))));
        assert!(matches!(remove(&file), Err(ServiceError::Foreign(_))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "my own");
    }
}
