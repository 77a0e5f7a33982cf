//! Rates: how much goes through a device in a second, by a token bucket (tc-tbf(8)).
//!
//! What a container sends is slowed at its own device, which it cannot change, and what it receives
//! at the node's end of the pair. What comes faster waits, and past that is dropped.

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage, TcOption};

use crate::netlink::{Netlink, NetlinkError};

/// `TCA_TBF_PARMS`, `TCA_TBF_RATE64` and `TCA_TBF_BURST` of linux/pkt_sched.h.
const PARAMETERS: u16 = 1;
const RATE: u16 = 4;
const BURST: u16 = 6;

/// `TC_LINKLAYER_ETHERNET`.
const ETHERNET: u8 = 1;

/// What may go at once after a rest: some whole packets, or what passes in 20 ms.
const BURST_BYTES_MIN: u64 = 32 << 10;
const BURSTS_A_SECOND: u64 = 50;
/// What may wait, beside that: what passes in 100 ms.
const QUEUES_A_SECOND: u64 = 10;

impl Netlink {
    /// Bounds what leaves by a device, in bytes a second.
    ///
    /// # Errors
    /// The kernel has no token buckets.
    pub(super) fn limit_rate(&mut self, device: u32, rate: u64) -> Result<(), NetlinkError> {
        let mut message = TcMessage::with_index(device.cast_signed());
        message.header.parent = TcHandle::ROOT;
        message.header.handle = TcHandle { major: 1, minor: 0 };
        message.attributes = vec![
            TcAttribute::Kind("tbf".to_owned()),
            TcAttribute::Options(options(rate)),
        ];
        let message = RouteNetlinkMessage::NewQueueDiscipline(message);
        self.ask("limit a rate", NLM_F_CREATE | NLM_F_REPLACE, message)
    }
}

fn options(rate: u64) -> Vec<TcOption> {
    let fit = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let burst = (rate / BURSTS_A_SECOND).max(BURST_BYTES_MIN);
    // struct tc_tbf_qopt: the rate, the peak rate, each as struct tc_ratespec; limit, buffer, mtu.
    let mut parameters = vec![0; 36];
    parameters[1] = ETHERNET;
    parameters[8..12].copy_from_slice(&fit(rate).to_ne_bytes());
    let limit = burst.saturating_add(rate / QUEUES_A_SECOND);
    parameters[24..28].copy_from_slice(&fit(limit).to_ne_bytes());
    let mut all = vec![
        TcOption::Other(DefaultNla::new(PARAMETERS, parameters)),
        TcOption::Other(DefaultNla::new(BURST, fit(burst).to_ne_bytes().to_vec())),
    ];
    // The kernel wants it where the other is too small for it.
    if rate > u64::from(u32::MAX) {
        all.push(TcOption::Other(DefaultNla::new(
            RATE,
            rate.to_ne_bytes().to_vec(),
        )));
    }
    all
}
