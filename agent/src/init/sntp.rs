//! SNTP messages (RFC 4330): a question, and an answer's offset.

use std::time::Duration;

/// Without extensions and keys.
pub(super) const LENGTH: usize = 48;

/// From 1900, where NTP's first era begins, to 1970; and the length of an era.
const TO_UNIX: i128 = 2_208_988_800;
const ERA: i128 = 1 << 32;

/// Why an answer says nothing of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("its answer is no SNTP, or answers another question")]
    Stranger,
    #[error("it does not know the time itself")]
    Unsynchronized,
}

/// A question. `cookie` comes back in the answer and stands where a client's time would: a server
/// needs to know neither.
pub(super) fn question(cookie: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    // Version 4, client.
    bytes[0] = 4 << 3 | 3;
    bytes[40..].copy_from_slice(&cookie.to_be_bytes());
    bytes
}

/// How far the server's clock is ahead, in nanoseconds, by the times since the Unix epoch at which the
/// question went and the answer came.
pub(super) fn offset(
    bytes: &[u8],
    cookie: u64,
    asked: Duration,
    answered: Duration,
) -> Result<i128, Refusal> {
    let eight = |at: usize| {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(u64::from_be_bytes(*bytes))
    };
    let (Some(&[first, stratum]), Some(origin), Some(received), Some(sent)) =
        (bytes.first_chunk(), eight(24), eight(32), eight(40))
    else {
        return Err(Refusal::Stranger);
    };
    if first & 7 != 4 || origin != cookie {
        return Err(Refusal::Stranger);
    }
    // Leap indicator 3 is an alarm; stratum 0 is a "kiss of death".
    if first >> 6 == 3 || !(1..16).contains(&stratum) || sent == 0 {
        return Err(Refusal::Unsynchronized);
    }
    let asked = nanos(asked);
    let answered = nanos(answered);
    Ok(((unix(received) - asked) + (unix(sent) - answered)) / 2)
}

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX / 4)
}

/// NTP's time as nanoseconds since the Unix epoch. The era is the one in which 1968 to 2104 lie
/// (RFC 4330, section 3).
fn unix(ntp: u64) -> i128 {
    let seconds = i128::from(ntp >> 32);
    let era = if seconds < ERA / 2 { ERA } else { 0 };
    let fraction = i128::from(ntp & 0xffff_ffff);
    (seconds + era - TO_UNIX) * 1_000_000_000 + ((fraction * 1_000_000_000) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(first: u8, stratum: u8, cookie: u64, received: u64, sent: u64) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..2].copy_from_slice(&[first, stratum]);
        bytes[24..32].copy_from_slice(&cookie.to_be_bytes());
        bytes[32..40].copy_from_slice(&received.to_be_bytes());
        bytes[40..].copy_from_slice(&sent.to_be_bytes());
        bytes
    }

    #[test]
    fn the_offset_is_the_mean_of_both_ways() {
        let at = |seconds: u64| (seconds + 2_208_988_800) << 32;
        let asked = Duration::from_secs(1_000_000_000);
        let answered = Duration::from_secs(1_000_000_002);
        let bytes = answer(0x24, 2, 9, at(1_000_000_101), at(1_000_000_101));
        assert_eq!(offset(&bytes, 9, asked, answered), Ok(100_000_000_000));
        assert_eq!(offset(&bytes, 8, asked, answered), Err(Refusal::Stranger));
        assert_eq!(
            offset(&bytes[..40], 9, asked, answered),
            Err(Refusal::Stranger)
        );
        let alarm = answer(0xe4, 2, 9, at(1), at(1));
        assert_eq!(
            offset(&alarm, 9, asked, answered),
            Err(Refusal::Unsynchronized)
        );
        let kiss = answer(0x24, 0, 9, at(1), at(1));
        assert_eq!(
            offset(&kiss, 9, asked, answered),
            Err(Refusal::Unsynchronized)
        );
    }

    #[test]
    fn the_second_era_follows_the_first() {
        assert_eq!(unix(0), 2_085_978_496_000_000_000);
        assert_eq!(unix(2_208_988_800 << 32 | 1 << 31), 500_000_000);
    }
}
