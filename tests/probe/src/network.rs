//! The network: sockets that see or change what is not the container's.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::raw::{Answer, Errno, at, at_mut, call};
use crate::{Attack, Tried};

pub(crate) const ALL: &[Attack] = &[
    ("bind", bind),
    ("abstract_socket", abstract_socket),
    ("socket", socket),
    ("alg", alg),
    ("nftables", nftables),
    ("ipc_of_others", ipc_of_others),
    ("http", http),
];

/// How long a server is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

fn open(family: i32, kind: i32, protocol: i32) -> Answer {
    let [family, kind, protocol] = [family, kind, protocol].map(|n| n.cast_unsigned() as usize);
    call(libc::SYS_socket, &[family, kind, protocol])
}

/// Listens where nobody allocated a port: `probe bind PORT [udp]`.
fn bind(arguments: &[String]) -> Tried {
    let port: u16 = arguments
        .first()
        .and_then(|word| word.parse().ok())
        .unwrap_or(8080);
    let datagrams = arguments.get(1).is_some_and(|word| word == "udp");
    let kind = if datagrams {
        libc::SOCK_DGRAM
    } else {
        libc::SOCK_STREAM
    };
    let mut address = [0_u8; 16];
    address[0] = 2;
    address[2..4].copy_from_slice(&port.to_be_bytes());
    let bound = open(libc::AF_INET, kind, 0).and_then(|socket| {
        call(libc::SYS_bind, &[socket, at(&address), 16])?;
        match datagrams {
            true => Ok(socket),
            false => call(libc::SYS_listen, &[socket, 1]),
        }
    });
    Tried::of(&format!("port {port}"), bound)
}

/// Connects to a name that is no file: `probe abstract_socket NAME`.
fn abstract_socket(arguments: &[String]) -> Tried {
    let name = arguments.first().map_or("tepui-victim", String::as_str);
    let mut address = vec![1_u8, 0, 0];
    address.extend(name.as_bytes());
    let reach = |kind: i32| {
        let socket = open(libc::AF_UNIX, kind, 0)?;
        call(
            libc::SYS_connect,
            &[socket, at(address.as_slice()), address.len()],
        )
    };
    Tried::of(name, reach(libc::SOCK_STREAM))
}

/// A socket by its three numbers: `probe socket FAMILY TYPE PROTOCOL`.
fn socket(arguments: &[String]) -> Tried {
    let numbers: Vec<i32> = arguments
        .iter()
        .filter_map(|word| word.parse().ok())
        .collect();
    match numbers[..] {
        [family, kind, protocol] => Tried::of_any_error("socket", open(family, kind, protocol)),
        _ => Tried::Impossible("three numbers are needed".into()),
    }
}

/// The kernel's ciphers, whose sockets have had holes enough.
fn alg(_: &[String]) -> Tried {
    let mut address = [0_u8; 88];
    address[0] = 38;
    address[2..6].copy_from_slice(b"hash");
    address[24..30].copy_from_slice(b"sha256");
    let bound = open(38, libc::SOCK_SEQPACKET, 0)
        .and_then(|socket| call(libc::SYS_bind, &[socket, at(&address), 88]));
    Tried::of_any_error("AF_ALG", bound)
}

/// A message of netlink: its type, flags, number, and what follows the header.
fn message(kind: u16, flags: u16, number: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = u32::try_from(16 + body.len()).unwrap_or(16);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(body);
    bytes
}

/// A table of rules in the network that is seen. A container whose network is its own may have one: then
/// the argument `own` says so.
fn nftables(_: &[String]) -> Tried {
    let Ok(socket) = open(libc::AF_NETLINK, libc::SOCK_RAW, 12) else {
        return Tried::Refused("no socket of netfilter".into());
    };
    // NFNL_MSG_BATCH_BEGIN, NFT_MSG_NEWTABLE (inet, "attack"), NFNL_MSG_BATCH_END
    let batch = [0_u8, 0, 0, 10];
    let mut table = vec![1_u8, 0, 0, 0, 11, 0, 1, 0];
    table.extend(b"attack\0\0");
    let bytes = [
        message(16, 1, 1, &batch),
        message(10 << 8, 1 | 4 | 0x400, 2, &table),
        message(17, 1, 3, &batch),
    ]
    .concat();
    if let Err(errno) = call(
        libc::SYS_sendto,
        &[socket, at(bytes.as_slice()), bytes.len(), 0, 0, 0],
    ) {
        return Tried::Refused(format!("send: {errno}"));
    }
    let mut answer = [0_u8; 1024];
    let received = call(
        libc::SYS_recvfrom,
        &[
            socket,
            at_mut(&mut answer),
            answer.len(),
            libc::MSG_DONTWAIT as usize,
            0,
            0,
        ],
    );
    let code = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
    match (received, code) {
        (Err(errno), _) => Tried::Impossible(format!("no answer: {errno}")),
        (Ok(_), 0) => Tried::Worked("a table of nftables".into()),
        (Ok(_), code) => Tried::Refused(Errno(-code).to_string()),
    }
}

/// Shared memory, queues and semaphores of the neighbour, by the names it gave them.
fn ipc_of_others(_: &[String]) -> Tried {
    let key = crate::victim::KEY;
    Tried::any([
        Tried::of_any_error("shared memory", call(libc::SYS_shmget, &[key, 4096, 0])),
        Tried::of_any_error("a message queue", call(libc::SYS_msgget, &[key, 0])),
        Tried::of_any_error("semaphores", call(libc::SYS_semget, &[key, 1, 0])),
        Tried::of_any_error(
            "a POSIX queue",
            call(libc::SYS_mq_open, &[at(c"tepui-victim"), 0, 0, 0]),
        ),
    ])
}

/// Whether a request is answered with 200: `probe http METHOD ADDRESS PATH [BODY]`.
fn http(arguments: &[String]) -> Tried {
    let word = |place: usize| arguments.get(place).map_or("", String::as_str);
    let Ok(address) = word(1).parse::<SocketAddr>() else {
        return Tried::Impossible(format!("{:?} is no address", word(1)));
    };
    let request = format!(
        "{} {} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}",
        word(0),
        word(2),
        word(3).len(),
        word(3)
    );
    let mut answer = Vec::new();
    let asked = TcpStream::connect_timeout(&address, PATIENCE).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        // A stream of events does not end: what came until then counts.
        drop(stream.read_to_end(&mut answer));
        Ok(())
    });
    if let Err(error) = asked {
        return Tried::Refused(format!("{address}: {error}"));
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    match text.split(' ').nth(1) {
        Some("200") => Tried::Worked(text),
        _ => Tried::Refused(text),
    }
}
