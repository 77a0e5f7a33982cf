//! A DHCP server in a network namespace of its own, with a cable into a machine's.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use agent_kernel::netlink::{Link, Netlink};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
};
use netlink_sys::{Socket, SocketAddr as NetlinkAddress, protocols::NETLINK_ROUTE};
use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Type};

pub(crate) const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
pub(crate) const REQUEST: u8 = 3;
const ACK: u8 = 5;

const HERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

pub(crate) struct Server {
    asked: Arc<Mutex<Vec<u8>>>,
    moved: Arc<AtomicBool>,
    confused: Arc<AtomicBool>,
    done: Arc<AtomicBool>,
}

impl Server {
    /// Puts a cable into the network namespace of a process, and answers at its other end. The first
    /// question is lost.
    pub(crate) fn beside(pid: u32) -> Self {
        let server = Self {
            asked: Arc::default(),
            moved: Arc::default(),
            confused: Arc::default(),
            done: Arc::default(),
        };
        let (asked, moved, confused, done) = (
            Arc::clone(&server.asked),
            Arc::clone(&server.moved),
            Arc::clone(&server.confused),
            Arc::clone(&server.done),
        );
        let (ready, is_ready) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let socket = connect(pid);
            ready.send(()).expect("ready");
            answer(&socket, &asked, &moved, &confused, &done);
        });
        is_ready.recv().expect("a server");
        server
    }

    /// The kinds of the questions so far.
    pub(crate) fn asked(&self) -> Vec<u8> {
        self.asked.lock().expect("lock").clone()
    }

    /// From now on another name server is told.
    pub(crate) fn move_name_server(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }

    /// The next lease has a gateway that can be none.
    pub(crate) fn confuse(&self) {
        self.confused.store(true, Ordering::Relaxed);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

/// Takes this thread into a network namespace of its own, with one end of a cable.
fn connect(pid: u32) -> UdpSocket {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    let link = Link {
        name: "server".to_owned(),
        index: 77,
        mac: [0; 6],
    };
    veth(&link, pid);
    let mut netlink = Netlink::open().expect("netlink");
    netlink.set_up(&link).expect("up");
    netlink.add_address(&link, HERE, 24).expect("address");
    let socket = socket2::Socket::new(Domain::IPV4, Type::DGRAM, None).expect("socket");
    socket.set_broadcast(true).expect("broadcast");
    socket
        .bind_device(Some(link.name.as_bytes()))
        .expect("device");
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 67));
    socket.bind(&everywhere.into()).expect("bind");
    let timeout = Some(Duration::from_millis(100));
    socket.set_read_timeout(timeout).expect("timeout");
    socket.into()
}

/// A pair of devices: one here, one that the kernel names in the namespace of a process.
fn veth(here: &Link, pid: u32) {
    let mut peer = LinkMessage::default();
    peer.attributes = vec![
        LinkAttribute::IfName("eth%d".to_owned()),
        LinkAttribute::NetNsPid(pid),
    ];
    let mut message = LinkMessage::default();
    message.header.index = here.index;
    message.attributes = vec![
        LinkAttribute::IfName(here.name.clone()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    let message = NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message));
    let mut message = NetlinkMessage::new(header, message);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let mut socket = Socket::new(NETLINK_ROUTE).expect("netlink");
    socket.bind_auto().expect("netlink");
    socket.connect(&NetlinkAddress::new(0, 0)).expect("netlink");
    socket.send(&bytes, 0).expect("netlink");
    let (bytes, _) = socket.recv_from_full().expect("netlink");
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes).expect("an answer");
    match answer.payload {
        NetlinkPayload::Error(error) if error.code.is_none() => {}
        other => panic!("no cable: {other:?}"),
    }
}

fn answer(
    socket: &UdpSocket,
    asked: &Mutex<Vec<u8>>,
    moved: &AtomicBool,
    confused: &AtomicBool,
    done: &AtomicBool,
) {
    let mut buffer = [0; 1500];
    while !done.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let question = &buffer[..length];
        // The message type comes first: that is so in our client.
        let kind = question[242];
        let first = {
            let mut asked = asked.lock().expect("lock");
            asked.push(kind);
            asked.len() == 1
        };
        if first {
            continue;
        }
        let mut reply = question[..240].to_vec();
        reply[0] = 2;
        reply[16..20].copy_from_slice(&[10, 77, 0, 9]);
        let name_server = if moved.load(Ordering::Relaxed) {
            54
        } else {
            53
        };
        reply.extend([53, 1, if kind == DISCOVER { OFFER } else { ACK }]);
        reply.extend([54, 4, 10, 77, 0, 1]);
        reply.extend([51, 4, 0, 0, 0, 60]);
        reply.extend([1, 4, 255, 255, 255, 0]);
        let gateway = match confused.load(Ordering::Relaxed) {
            true => [127, 0, 0, 1],
            false => [10, 77, 0, 1],
        };
        reply.extend([3, 4]);
        reply.extend(gateway);
        if kind == REQUEST {
            confused.store(false, Ordering::Relaxed);
        }
        reply.extend([6, 4, 10, 77, 0, name_server]);
        reply.extend([12, 6]);
        reply.extend(b"leased");
        reply.extend([15, 11]);
        reply.extend(b"example.net");
        reply.push(255);
        let to = if from.ip().is_unspecified() {
            SocketAddr::from((Ipv4Addr::BROADCAST, 68))
        } else {
            from
        };
        socket.send_to(&reply, to).expect("answer");
    }
}
