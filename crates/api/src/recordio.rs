//! RecordIO: a stream of records, each its length in decimal, a newline, and so many bytes.
//!
//! Mesos' event streams are framed so. The chunks that the transport delivers have nothing to do
//! with the records, so the decoder takes any cut.

/// The longest length line: the digits of `u64::MAX`.
const DIGITS_MAX: usize = 20;

/// Why a stream is not RecordIO. After an error the place of the next record is lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Something else than a digit or a newline stands in a length.
    #[error("record length has the byte {0:#04x} where a digit or a newline must be")]
    Length(u8),
    /// A length line is empty or has too many digits.
    #[error("record length has {0} digits")]
    Digits(usize),
    /// A record is longer than the decoder was told to take.
    #[error("record of {bytes} bytes is longer than the {bytes_max} allowed")]
    Long {
        /// The length that the stream announced.
        bytes: u64,
        /// The bound.
        bytes_max: usize,
    },
    /// The stream ended within a record.
    #[error("stream ended within a record")]
    Cut,
}

/// One record with its length before it.
#[must_use]
pub fn encode(record: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(record.len() + DIGITS_MAX + 1);
    encode_to(record, &mut out);
    out
}

/// Appends one record with its length before it.
pub fn encode_to(record: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(record.len().to_string().as_bytes());
    out.push(b'\n');
    out.extend_from_slice(record);
}

/// Takes a stream in any pieces and gives its records.
#[derive(Debug)]
pub struct Decoder {
    bytes_max: usize,
    buffer: Vec<u8>,
    /// What stands before this was given out.
    start: usize,
}

impl Decoder {
    /// A decoder that refuses records longer than `bytes_max`.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            buffer: Vec::new(),
            start: 0,
        }
    }

    /// Takes the next piece of the stream. Records are then taken out with [`Decoder::record`]
    /// until there is none, so that no more than one record and one piece are ever held.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole record; `None` where more of the stream is needed.
    ///
    /// # Errors
    /// The stream is not RecordIO, or a record is too long.
    pub fn record(&mut self) -> Result<Option<Vec<u8>>, RecordError> {
        let rest = &self.buffer[self.start..];
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits > DIGITS_MAX {
            return Err(RecordError::Digits(digits));
        }
        match rest.get(digits) {
            None => return Ok(None),
            Some(b'\n') if digits == 0 => return Err(RecordError::Digits(0)),
            Some(b'\n') => {}
            Some(&byte) => return Err(RecordError::Length(byte)),
        }
        let bytes = rest[..digits].iter().try_fold(0u64, |value, digit| {
            value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        });
        let bytes = bytes.ok_or(RecordError::Digits(digits))?;
        let length = usize::try_from(bytes)
            .ok()
            .filter(|&length| length <= self.bytes_max)
            .ok_or(RecordError::Long {
                bytes,
                bytes_max: self.bytes_max,
            })?;
        let Some(record) = rest.get(digits + 1..).and_then(|rest| rest.get(..length)) else {
            return Ok(None);
        };
        let record = record.to_vec();
        self.start += digits + 1 + length;
        Ok(Some(record))
    }

    /// Checks, at the end of the stream, that no record was begun.
    ///
    /// # Errors
    /// The stream ended within a record.
    pub fn finish(&self) -> Result<(), RecordError> {
        if self.start == self.buffer.len() {
            Ok(())
        } else {
            Err(RecordError::Cut)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BYTES_MAX: usize = 1000;

    /// Everything a decoder gives out of these pieces, and how the stream ended.
    fn decode(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Result<(), RecordError>) {
        let mut decoder = Decoder::new(BYTES_MAX);
        let mut records = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            loop {
                match decoder.record() {
                    Ok(Some(record)) => records.push(record),
                    Ok(None) => break,
                    Err(error) => return (records, Err(error)),
                }
            }
        }
        (records, decoder.finish())
    }

    #[test]
    fn a_record_has_its_length_in_decimal_and_a_newline_before_it() {
        assert_eq!(
            encode(b"{\"type\":\"HEARTBEAT\"}"),
            b"20\n{\"type\":\"HEARTBEAT\"}"
        );
        assert_eq!(encode(b""), b"0\n");
        assert_eq!(
            decode(&[b"0\n3\nabc"]),
            (vec![Vec::new(), b"abc".to_vec()], Ok(()))
        );
    }

    #[test]
    fn what_is_no_recordio_is_refused_with_the_reason() {
        for (stream, error) in [
            (&b"3\nab"[..], RecordError::Cut),
            (b"3", RecordError::Cut),
            (b"x\n", RecordError::Length(b'x')),
            (b"-1\n", RecordError::Length(b'-')),
            (b"1 \n", RecordError::Length(b' ')),
            (b"\nabc", RecordError::Digits(0)),
            (b"123456789012345678901", RecordError::Digits(21)),
            (b"99999999999999999999\n", RecordError::Digits(20)),
            (
                b"1001\n",
                RecordError::Long {
                    bytes: 1001,
                    bytes_max: BYTES_MAX,
                },
            ),
        ] {
            assert_eq!(decode(&[stream]), (Vec::new(), Err(error)), "{stream:?}");
        }
    }

    proptest! {
        #[test]
        fn records_come_back_wherever_the_stream_is_cut(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut stream = Vec::new();
            records.iter().for_each(|record| encode_to(record, &mut stream));
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([stream.len()]) {
                pieces.push(&stream[from..cut]);
                from = cut;
            }
            prop_assert_eq!(decode(&pieces), (records, Ok(())));
        }

        #[test]
        fn no_stream_makes_the_decoder_panic(stream in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&[&stream]);
        }
    }
}
