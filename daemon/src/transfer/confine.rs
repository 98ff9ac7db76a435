//! Confinement of a thread to one folder, by the kernel: a second fence behind the folder handles, for
//! the case that our own handling of names has a fault.
//!
//! On Linux this is Landlock. It binds a thread and what that thread starts, for as long as they live,
//! so a confined thread must be one of its own, and must start no task or thread that is not part of
//! its work. What was open before stays open: Landlock asks when a file is opened, made, moved or
//! removed. It knows nothing of permission bits, times and attributes; for these there are handles only.
//!
//! Elsewhere, and on kernels without it, nothing happens; the log says so once.

use super::folder::Folder;

/// Whether the kernel keeps a thread to its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confinement {
    /// Nothing outside the folder can be opened, made, moved or removed by this thread any more.
    Enforced,
    /// The system has no such thing, or not all that our work needs.
    Unavailable,
}

/// Takes from the calling thread, for ever, everything but to write below `folder`: every other file,
/// and the network as far as the kernel knows how.
///
/// This is depth: a thread that cannot be confined goes on, and the log says so.
pub(super) fn confine_thread(folder: &Folder) -> Confinement {
    match system::confine(folder) {
        Ok(()) => Confinement::Enforced,
        Err(reason) => {
            static ONCE: std::sync::Once = std::sync::Once::new();
            ONCE.call_once(|| {
                tracing::info!(reason, "the system does not confine writing threads");
            });
            Confinement::Unavailable
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, Ruleset,
        RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
    };

    use super::Folder;
    use crate::error::chain;

    /// The newest Landlock whose rights we know; an older kernel enforces those that it has.
    const NEWEST: ABI = ABI::V10;

    pub(super) fn confine(folder: &Folder) -> Result<(), String> {
        match restrict(folder) {
            Ok(RulesetStatus::NotEnforced) => Err("the kernel has no Landlock".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(chain(&error)),
        }
    }

    fn restrict(folder: &Folder) -> Result<RulesetStatus, RulesetError> {
        let ruleset = Ruleset::default()
            // Linux 5.13 to 5.18 would refuse every rename into another folder.
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::Refer)?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?;
        let rule = PathBeneath::new(folder, needed());
        Ok(ruleset.create()?.add_rule(rule)?.restrict_self()?.ruleset)
    }

    /// What writing below a destination takes. Nothing is ever executed there, and no device, socket
    /// or pipe made.
    fn needed() -> landlock::BitFlags<AccessFs> {
        AccessFs::ReadFile
            | AccessFs::ReadDir
            | AccessFs::WriteFile
            | AccessFs::Truncate
            | AccessFs::MakeReg
            | AccessFs::MakeDir
            | AccessFs::MakeSym
            | AccessFs::RemoveFile
            | AccessFs::RemoveDir
            | AccessFs::Refer
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::Folder;

    pub(super) fn confine(_folder: &Folder) -> Result<(), String> {
        Err("threads cannot be confined on this system".to_owned())
    }
}

#[cfg(all(test, target_os = "linux"))]
pub(super) mod tests;
