//! The LAN between a cluster's guests: a learning switch in user space.
//!
//! Each guest's second card sends Ethernet frames as datagrams to one socket, from a socket of its
//! own whose name is its port here. A frame goes to the port its destination was last seen at, and
//! to all others where that is not known. Every frame passes through `Switch::ports_for`: the one
//! place for frames to be dropped, delayed and cut off by a seed.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// The switch's socket in the cluster's folder.
pub const SOCKET: &str = "switch";

/// The largest frame: 64 KiB of segmentation offload, its Ethernet and virtio headers.
const FRAME_MAX: usize = 65_536 + 128;

/// The most hardware addresses that are remembered; more come only from a guest that floods.
const ADDRESSES_MAX: usize = 1024;

/// A hardware address.
type Address = [u8; 6];

/// Which port leads where.
#[derive(Debug, Default)]
pub struct Switch {
    /// The ports in the order they were first heard of.
    ports: Vec<String>,
    /// Where an address was last seen.
    seen: BTreeMap<Address, usize>,
}

impl Switch {
    /// The ports that `frame`, which came from `port`, goes out at.
    pub fn ports_for(&mut self, port: &str, frame: &[u8]) -> Vec<String> {
        let from = match self.ports.iter().position(|known| known == port) {
            Some(at) => at,
            None => {
                self.ports.push(port.to_owned());
                self.ports.len() - 1
            }
        };
        let (Some(destination), Some(source)) = (address(frame, 0), address(frame, 6)) else {
            return Vec::new();
        };
        if !is_group(source) && (self.seen.len() < ADDRESSES_MAX || self.seen.contains_key(&source))
        {
            self.seen.insert(source, from);
        }
        match self.seen.get(&destination) {
            Some(at) if *at == from => Vec::new(),
            Some(at) => vec![self.ports[*at].clone()],
            None => {
                let others = self.ports.iter().enumerate().filter(|(at, _)| *at != from);
                others.map(|(_, port)| port.clone()).collect()
            }
        }
    }
}

fn address(frame: &[u8], at: usize) -> Option<Address> {
    frame.get(at..at + 6)?.try_into().ok()
}

/// Broadcast and multicast addresses have the lowest bit of the first byte set.
fn is_group(address: Address) -> bool {
    address[0] & 1 == 1
}

/// Serves the LAN of the cluster in `folder`, which must be the working directory, for ever.
/// A guest that is not there, or does not keep up, loses its frames, as on any LAN.
///
/// # Errors
/// The socket cannot be made or read.
pub fn serve(folder: &Path) -> io::Result<()> {
    std::env::set_current_dir(folder)?;
    match std::fs::remove_file(SOCKET) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = UnixDatagram::bind(SOCKET)?;
    let mut switch = Switch::default();
    let mut frame = vec![0; FRAME_MAX];
    // A receiver with a full queue must not hold up the others.
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    loop {
        let (length, from) = socket.recv_from(&mut frame)?;
        let Some(port) = from.as_pathname().and_then(Path::to_str) else {
            continue;
        };
        for out in switch.ports_for(port, &frame[..length]) {
            let _sent = sender.send_to(&frame[..length], out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(to: u8, from: u8) -> Vec<u8> {
        let mut frame = vec![0; 60];
        frame[..6].copy_from_slice(&[0x52, 0x54, 0, 0, 1, to]);
        frame[6..12].copy_from_slice(&[0x52, 0x54, 0, 0, 1, from]);
        frame
    }

    #[test]
    fn a_frame_goes_to_all_others_until_its_destination_was_heard() {
        let mut switch = Switch::default();
        assert!(switch.ports_for("a", &frame(2, 1)).is_empty());
        assert_eq!(switch.ports_for("b", &frame(9, 2)), ["a"]);
        assert_eq!(switch.ports_for("c", &frame(9, 3)), ["a", "b"]);
        assert_eq!(switch.ports_for("a", &frame(2, 1)), ["b"]);
        assert_eq!(switch.ports_for("b", &frame(1, 2)), ["a"]);
    }

    #[test]
    fn an_address_that_moves_is_found_at_its_new_port() {
        let mut switch = Switch::default();
        switch.ports_for("a", &frame(9, 1));
        switch.ports_for("b", &frame(9, 2));
        switch.ports_for("c", &frame(9, 1));
        assert_eq!(switch.ports_for("b", &frame(1, 2)), ["c"]);
    }

    #[test]
    fn broadcasts_reach_everyone_and_are_never_learned() {
        let mut switch = Switch::default();
        for port in ["a", "b", "c"] {
            switch.ports_for(port, &frame(9, port.as_bytes()[0]));
        }
        let mut broadcast = frame(0, b'a');
        broadcast[..6].fill(0xff);
        assert_eq!(switch.ports_for("a", &broadcast), ["b", "c"]);
        let mut forged = frame(b'b', 0);
        forged[6..12].fill(0xff);
        switch.ports_for("c", &forged);
        assert_eq!(switch.ports_for("a", &broadcast), ["b", "c"]);
    }

    #[test]
    fn a_frame_cut_short_and_one_to_its_own_port_go_nowhere() {
        let mut switch = Switch::default();
        switch.ports_for("b", &frame(9, 2));
        assert!(switch.ports_for("a", &[0; 11]).is_empty());
        switch.ports_for("a", &frame(9, 1));
        assert!(switch.ports_for("a", &frame(1, 5)).is_empty());
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_the_table() {
        let mut switch = Switch::default();
        for number in 0..3000_u16 {
            let mut frame = frame(9, 1);
            frame[10..12].copy_from_slice(&number.to_be_bytes());
            switch.ports_for("a", &frame);
        }
        assert_eq!(switch.seen.len(), ADDRESSES_MAX);
    }
}
