//! What must be known after a crash, and who keeps it: the destination says what it is about to do and
//! goes on when that is durable.

use super::DestError;
use crate::transfer::entry::RelPath;
use crate::transfer::folder::FileId;
use crate::transfer::loss::Lost;

/// Keeps what a destination tells it. What was kept is durable when a call returns.
pub trait Ledger {
    /// What the folder `top` was called here when this sender sent it before.
    fn top(&mut self, top: &[u8]) -> Result<Option<Top>, DestError>;

    /// What the folder `top` is going to be called, and then, with its id, that it has been made.
    fn keep_top(&mut self, top: &[u8], made: Top) -> Result<(), DestError>;

    /// Files and links that get their names as soon as this returns.
    fn intend(&mut self, intents: &[Intent]) -> Result<(), DestError>;

    /// What the entry at `path` lost; kept with what is kept next.
    fn lose(&mut self, path: &RelPath, lost: Lost);
}

/// A top folder as it is called here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// Its name.
    pub name: Vec<u8>,
    /// What it was when it was made; `None` if it may not have been.
    pub id: Option<FileId>,
}

/// A file or link that is about to get its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Which of the batch it is.
    pub position: usize,
    /// Where it is going to lie, below the destination.
    pub final_path: RelPath,
    /// What it is, under whatever name.
    pub id: Option<FileId>,
}

/// Keeps nothing: for what need not survive a crash.
#[cfg(all(test, target_os = "linux"))]
#[derive(Debug, Default)]
pub(crate) struct Forgetful;

#[cfg(all(test, target_os = "linux"))]
impl Ledger for Forgetful {
    fn top(&mut self, _top: &[u8]) -> Result<Option<Top>, DestError> {
        Ok(None)
    }

    fn keep_top(&mut self, _top: &[u8], _made: Top) -> Result<(), DestError> {
        Ok(())
    }

    fn intend(&mut self, _intents: &[Intent]) -> Result<(), DestError> {
        Ok(())
    }

    fn lose(&mut self, _path: &RelPath, _lost: Lost) {}
}
