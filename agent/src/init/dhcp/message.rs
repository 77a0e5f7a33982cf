//! DHCP messages (RFC 2131, options of RFC 2132): those that a client sends and those it gets.
//!
//! Written here since the one maintained crate brings a DNS library with tables of Unicode along.

use std::net::Ipv4Addr;
use std::time::Duration;

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET: u8 = 1;
/// Answers are to be sent to everyone: a device without an address cannot be sent to.
const BROADCAST: u16 = 0x8000;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Where the options begin, after the fixed part and the cookie.
const OPTIONS: usize = 240;
/// Some servers and relays drop what is shorter than a BOOTP message.
const LENGTH_MIN: usize = 300;

const SUBNET_MASK: u8 = 1;
const ROUTER: u8 = 3;
const NAME_SERVERS: u8 = 6;
const HOST_NAME: u8 = 12;
const DOMAIN_NAME: u8 = 15;
const TIME_SERVERS: u8 = 42;
const REQUESTED_ADDRESS: u8 = 50;
const LEASE_TIME: u8 = 51;
const MESSAGE_TYPE: u8 = 53;
const SERVER: u8 = 54;
const PARAMETERS: u8 = 55;
const MESSAGE_SIZE_MAX: u8 = 57;
const RENEWAL_TIME: u8 = 58;
const REBINDING_TIME: u8 = 59;
const CLIENT: u8 = 61;
const PAD: u8 = 0;
const END: u8 = 255;

/// What a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Who has an address?
    Discover,
    /// May I have the one that was offered?
    Request { address: Ipv4Addr, server: Ipv4Addr },
    /// May I keep the one I have?
    Renew { address: Ipv4Addr },
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Offer(Lease),
    Granted(Lease),
    Refused,
}

/// An address for a time, and what comes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::init) struct Lease {
    pub(in crate::init) address: Ipv4Addr,
    pub(in crate::init) prefix: u8,
    pub(in crate::init) server: Ipv4Addr,
    pub(in crate::init) gateway: Option<Ipv4Addr>,
    pub(in crate::init) dns: Vec<Ipv4Addr>,
    pub(in crate::init) ntp: Option<Ipv4Addr>,
    pub(in crate::init) hostname: Option<String>,
    pub(in crate::init) domain: Option<String>,
    /// None where it is for ever.
    pub(in crate::init) times: Option<Times>,
}

/// Until when a lease is kept, counted from its grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::init) struct Times {
    /// T1: its server is asked to renew it.
    pub(in crate::init) renew: Duration,
    /// T2: any server is.
    pub(in crate::init) rebind: Duration,
    /// The address is not ours any more.
    pub(in crate::init) end: Duration,
}

/// Writes a message of a client.
pub(super) fn write(ask: Ask, transaction: u32, mac: [u8; 6], hostname: Option<&str>) -> Vec<u8> {
    let (kind, current, flags) = match ask {
        Ask::Discover => (1, Ipv4Addr::UNSPECIFIED, BROADCAST),
        Ask::Request { .. } => (3, Ipv4Addr::UNSPECIFIED, BROADCAST),
        Ask::Renew { address } => (3, address, 0),
    };
    let mut bytes = vec![REQUEST, ETHERNET, 6, 0];
    bytes.extend(transaction.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(flags.to_be_bytes());
    bytes.extend(current.octets());
    bytes.resize(28, 0);
    bytes.extend(mac);
    bytes.resize(OPTIONS - COOKIE.len(), 0);
    bytes.extend(COOKIE);

    let mut option = |code: u8, value: &[u8]| {
        // Longer values would want a second option of the same code; none here is.
        if let Ok(length) = u8::try_from(value.len()) {
            bytes.extend([code, length]);
            bytes.extend(value);
        }
    };
    option(MESSAGE_TYPE, &[kind]);
    let mut client = vec![ETHERNET];
    client.extend(mac);
    option(CLIENT, &client);
    if let Ask::Request { address, server } = ask {
        option(REQUESTED_ADDRESS, &address.octets());
        option(SERVER, &server.octets());
    }
    option(MESSAGE_SIZE_MAX, &1472_u16.to_be_bytes());
    let wanted = [
        SUBNET_MASK,
        ROUTER,
        NAME_SERVERS,
        HOST_NAME,
        DOMAIN_NAME,
        TIME_SERVERS,
    ];
    option(PARAMETERS, &wanted);
    if let Some(name) = hostname {
        option(HOST_NAME, name.as_bytes());
    }
    bytes.push(END);
    bytes.resize(bytes.len().max(LENGTH_MIN), PAD);
    bytes
}

/// Reads a server's answer; none where it is for another client or question, or not well formed.
pub(super) fn read(bytes: &[u8], transaction: u32, mac: [u8; 6]) -> Option<Answer> {
    let ours = bytes.first() == Some(&REPLY)
        && bytes.get(4..8)? == transaction.to_be_bytes()
        && bytes.get(28..34)? == mac
        && bytes.get(OPTIONS - COOKIE.len()..OPTIONS)? == COOKIE;
    if !ours {
        return None;
    }
    let address = bytes
        .get(16..20)?
        .first_chunk()
        .map(|octets| Ipv4Addr::from(*octets))?;
    let mut lease = Lease {
        address,
        prefix: class_prefix(address),
        server: Ipv4Addr::UNSPECIFIED,
        gateway: None,
        dns: Vec::new(),
        ntp: None,
        hostname: None,
        domain: None,
        times: None,
    };
    let (mut kind, mut end, mut renew, mut rebind) = (0, u32::MAX, None, None);
    for (code, value) in options(bytes.get(OPTIONS..)?)? {
        match code {
            MESSAGE_TYPE => kind = *value.first()?,
            SUBNET_MASK => lease.prefix = prefix(one(value)?)?,
            ROUTER => lease.gateway = Some(one(value)?),
            NAME_SERVERS => lease.dns = addresses(value).collect(),
            TIME_SERVERS => lease.ntp = Some(one(value)?),
            SERVER => lease.server = one(value)?,
            HOST_NAME => lease.hostname = text(value),
            DOMAIN_NAME => lease.domain = text(value),
            LEASE_TIME => end = seconds(value)?,
            RENEWAL_TIME => renew = Some(seconds(value)?),
            REBINDING_TIME => rebind = Some(seconds(value)?),
            _ => {}
        }
    }
    lease.times = (end != u32::MAX).then(|| times(end, renew, rebind));
    let is_usable = !address.is_unspecified() && !lease.server.is_unspecified();
    match kind {
        2 if is_usable => Some(Answer::Offer(lease)),
        5 if is_usable => Some(Answer::Granted(lease)),
        6 => Some(Answer::Refused),
        _ => None,
    }
}

/// T1 and T2 as the server says, or as RFC 2131 4.4.5 does where it says nothing or nonsense.
fn times(end: u32, renew: Option<u32>, rebind: Option<u32>) -> Times {
    // Less than a minute would make a client that does nothing else.
    let end = u64::from(end.max(60));
    let rebind = rebind.map_or(end * 7 / 8, u64::from).min(end);
    let renew = renew.map_or(end / 2, u64::from).min(rebind);
    Times {
        renew: Duration::from_secs(renew.max(30)),
        rebind: Duration::from_secs(rebind),
        end: Duration::from_secs(end),
    }
}

/// Code and value of each option; none where one is cut short. The end mark may be missing.
fn options(mut bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut options = Vec::new();
    loop {
        match bytes {
            [] | [END, ..] => return Some(options),
            [PAD, rest @ ..] => bytes = rest,
            [code, length, rest @ ..] => {
                let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                options.push((*code, value));
                bytes = rest;
            }
            [_] => return None,
        }
    }
}

fn addresses(value: &[u8]) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let (octets, _) = value.as_chunks::<4>();
    octets.iter().map(|octets| Ipv4Addr::from(*octets))
}

fn one(value: &[u8]) -> Option<Ipv4Addr> {
    addresses(value).next()
}

fn seconds(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Some servers end a text with a zero.
fn text(value: &[u8]) -> Option<String> {
    let text = str::from_utf8(value).ok()?.trim_end_matches('\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// The length of a mask's prefix; none where it has holes.
fn prefix(mask: Ipv4Addr) -> Option<u8> {
    let ones = mask.to_bits().leading_ones();
    let holes = mask.to_bits().count_ones() != ones;
    if holes {
        return None;
    }
    u8::try_from(ones).ok()
}

/// The prefix of an address whose server tells no mask.
fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        192.. => 24,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    fn reply(kind: u8, extra: &[u8]) -> Vec<u8> {
        let mut bytes = vec![REPLY, ETHERNET, 6, 0];
        bytes.extend(7_u32.to_be_bytes());
        bytes.resize(16, 0);
        bytes.extend([10, 0, 2, 15]);
        bytes.resize(28, 0);
        bytes.extend(MAC);
        bytes.resize(236, 0);
        bytes.extend(COOKIE);
        bytes.extend([MESSAGE_TYPE, 1, kind, PAD, SERVER, 4, 10, 0, 2, 2]);
        bytes.extend(extra);
        bytes.push(END);
        bytes
    }

    #[test]
    fn a_grant_brings_address_route_names_and_times() {
        let extra = [
            &[SUBNET_MASK, 4, 255, 255, 255, 0][..],
            &[ROUTER, 4, 10, 0, 2, 2],
            &[NAME_SERVERS, 8, 10, 0, 2, 3, 1, 1, 1, 1],
            &[TIME_SERVERS, 4, 10, 0, 2, 4],
            &[HOST_NAME, 3, b'n', b'1', 0],
            &[LEASE_TIME, 4, 0, 1, 0x51, 0x80],
        ]
        .concat();
        let lease = Lease {
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix: 24,
            server: Ipv4Addr::new(10, 0, 2, 2),
            gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
            dns: vec![Ipv4Addr::new(10, 0, 2, 3), Ipv4Addr::new(1, 1, 1, 1)],
            ntp: Some(Ipv4Addr::new(10, 0, 2, 4)),
            hostname: Some("n1".to_owned()),
            domain: None,
            times: Some(Times {
                renew: Duration::from_secs(43200),
                rebind: Duration::from_secs(75600),
                end: Duration::from_secs(86400),
            }),
        };
        let read = |kind| read(&reply(kind, &extra), 7, MAC);
        assert_eq!(read(2), Some(Answer::Offer(lease.clone())));
        assert_eq!(read(5), Some(Answer::Granted(lease)));
        assert_eq!(read(6), Some(Answer::Refused));
        assert_eq!(read(9), None);
    }

    #[test]
    fn answers_to_others_and_broken_ones_are_dropped() {
        let whole = reply(2, &[]);
        assert!(read(&whole, 7, MAC).is_some());
        assert_eq!(read(&whole, 8, MAC), None);
        assert_eq!(read(&whole, 7, [0; 6]), None);
        assert_eq!(read(&whole[..OPTIONS], 7, MAC), None);
        assert_eq!(
            read(&reply(2, &[SUBNET_MASK, 4, 255, 0, 255, 0]), 7, MAC),
            None
        );
        assert_eq!(read(&reply(2, &[ROUTER, 2, 10, 0]), 7, MAC), None);
        assert_eq!(read(&reply(2, &[ROUTER, 200, 10, 0]), 7, MAC), None);
    }

    #[test]
    fn a_message_has_what_rfc_2131_wants() {
        let address = Ipv4Addr::new(10, 0, 2, 15);
        let server = Ipv4Addr::new(10, 0, 2, 2);
        let bytes = write(Ask::Request { address, server }, 7, MAC, Some("n1"));
        assert_eq!(bytes.len(), LENGTH_MIN);
        assert_eq!(bytes[..12], [1, 1, 6, 0, 0, 0, 0, 7, 0, 0, 0x80, 0]);
        assert_eq!(bytes[28..34], MAC);
        assert_eq!(bytes[236..243], [99, 130, 83, 99, 53, 1, 3]);
        let options = options(&bytes[OPTIONS..]).expect("options");
        assert!(options.contains(&(REQUESTED_ADDRESS, &[10, 0, 2, 15])));
        assert!(options.contains(&(SERVER, &[10, 0, 2, 2])));
        assert!(options.contains(&(HOST_NAME, b"n1")));
        let renewal = write(Ask::Renew { address }, 7, MAC, None);
        assert_eq!(renewal[10..16], [0, 0, 10, 0, 2, 15]);
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(noise in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = read(&reply(5, &noise), 7, MAC);
            let _ = read(&noise, 7, MAC);
        }
    }
}
