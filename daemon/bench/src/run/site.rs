//! Where it all happens: two machines and what lies between them, and a folder on a tmpfs or disk.

use std::path::Path;

use filefleet_bench::{
    lab::{self, Machine},
    wan::{Conditions, End, Wan},
};

/// The sender's address.
pub(crate) const NEAR_IP: &str = "10.77.0.1";
/// The receiver's address.
pub(crate) const FAR_IP: &str = "10.77.0.2";

/// Bytes of an Ethernet packet.
pub(crate) const ETHERNET: u32 = 1500;
/// Of a jumbo one.
pub(crate) const JUMBO: u32 = 9000;

/// Two machines that are connected.
#[derive(Debug)]
pub(crate) struct Site {
    /// The sender's; the rendezvous server runs here, too.
    pub(crate) near: Machine,
    /// The receiver's.
    pub(crate) far: Machine,
    /// What lies between them, if it is not a cable. (Goes before the machines do.)
    pub(crate) wan: Option<Wan>,
    /// Where the rendezvous server is reached.
    pub(crate) server_ip: &'static str,
}

impl Site {
    /// A cable between them (veth), for packets of so many bytes.
    pub(crate) fn cable(mtu: u32) -> Result<Self, lab::Error> {
        let (near, far) = (Machine::new()?, Machine::new()?);
        near.cable("eth0", &far, "eth0")?;
        for machine in [&near, &far] {
            machine.mtu("eth0", mtu)?;
        }
        near.address("eth0", &format!("{NEAR_IP}/24"))?;
        far.address("eth0", &format!("{FAR_IP}/24"))?;
        Ok(Self { near, far, wan: None, server_ip: NEAR_IP })
    }

    /// One machine that is both, and has only itself to talk to, in packets of so many bytes.
    pub(crate) fn loopback(mtu: u32) -> Result<Self, lab::Error> {
        let near = Machine::new()?;
        near.mtu("lo", mtu)?;
        let far = near.again()?;
        Ok(Self { near, far, wan: None, server_ip: "127.0.0.1" })
    }

    /// A long way between them.
    pub(crate) fn wan(conditions: Conditions) -> Result<Self, lab::Error> {
        let (near, far) = (Machine::new()?, Machine::new()?);
        let (near_address, far_address) = (format!("{NEAR_IP}/24"), format!("{FAR_IP}/24"));
        let end = |machine, address| End { machine, interface: "wan0", address };
        let wan = Wan::between(end(&near, &near_address), end(&far, &far_address), conditions, 1)?;
        Ok(Self { near, far, wan: Some(wan), server_ip: NEAR_IP })
    }
}

/// A folder that goes when the value does, made in another.
pub(crate) fn scratch_in(dir: &Path) -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("filefleet-bench-").tempdir_in(dir)
}
