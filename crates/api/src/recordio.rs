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
