//! Loopback ports for servers that are told their port on the command line.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::{Error, Result};

/// Below the range from which systems take the source ports of outgoing connections (32768 and up
/// on Linux, 49152 on others). A port from that range could be taken by any client while its server
/// is down for a restart, and a client that connects to such a port again and again ends up
/// connected to itself, which then blocks the server.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// Ports handed out by this process: a server may not have bound its port when the next is asked.
static TAKEN: LazyLock<Mutex<BTreeSet<u16>>> = LazyLock::new(Mutex::default);

/// A TCP port that is free on 127.0.0.1 now and is given to nobody else in this process.
///
/// Another process may still take it first: who starts a server on it has to be ready to retry.
pub fn free_port() -> Result<u16> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    // A random start keeps test binaries that run at the same time apart.
    let random = RandomState::new().hash_one(std::process::id());
    let start = u16::try_from(random % u64::from(COUNT)).unwrap_or_default();
    for step in 0..COUNT {
        let port = FIRST + (start + step) % COUNT;
        if !taken.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            taken.insert(port);
            return Ok(port);
        }
    }
    Err(Error::Setup("no free loopback port".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_free() -> Result<(), Box<dyn std::error::Error>> {
        let mut seen = BTreeSet::new();
        for _ in 0..50 {
            let port = free_port()?;
            assert!(seen.insert(port), "{port} was handed out twice");
            TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        }
        Ok(())
    }

    #[test]
    fn a_port_in_use_is_passed_over() -> Result<(), Box<dyn std::error::Error>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port()?))?;
        let used = listener.local_addr()?.port();
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&used);
        for _ in 0..50 {
            assert_ne!(free_port()?, used);
        }
        Ok(())
    }
}
