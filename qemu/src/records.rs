//! A stream of RecordIO over chunked HTTP/1.1, as masters send events: each record is its length in
//! decimal, a line feed, and so many bytes. Records and chunks do not begin together.

use std::io::{self, BufRead};

use crate::http;

/// The longest record that is read: the first shows a whole cluster.
const RECORD_MAX: usize = 256 << 20;

/// The most digits of a length.
const DIGITS_MAX: usize = 20;

/// Records out of a chunked body.
#[derive(Debug)]
pub struct Records<R> {
    from: R,
    /// What came and was not yet returned.
    waiting: Vec<u8>,
}

impl<R: BufRead> Records<R> {
    /// Reads the body that begins at `from`.
    pub fn new(from: R) -> Records<R> {
        Records {
            from,
            waiting: Vec::new(),
        }
    }

    /// The next record; `None` where the stream ends.
    ///
    /// # Errors
    /// The stream breaks off, is not RecordIO, or has too large a record.
    pub fn next_record(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some((header, length)) = head(&self.waiting)? {
                let end = header + length;
                if self.waiting.len() >= end {
                    let rest = self.waiting.split_off(end);
                    let mut record = std::mem::replace(&mut self.waiting, rest);
                    record.drain(..header);
                    return Ok(Some(record));
                }
            }
            if !http::chunk(&mut self.from, &mut self.waiting)? {
                return match self.waiting.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }
}

/// How long the header of the first record is, and the record itself; `None` where that has not
/// all come yet.
fn head(data: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let not_records = || io::Error::new(io::ErrorKind::InvalidData, "not a stream of records");
    let digits = data.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > DIGITS_MAX {
        return Err(not_records());
    }
    match data.get(digits) {
        None => Ok(None),
        Some(b'\n') => {
            let text = str::from_utf8(&data[..digits]).map_err(|_| not_records())?;
            let length: usize = text.parse().map_err(|_| not_records())?;
            match length <= RECORD_MAX {
                true => Ok(Some((digits + 1, length))),
                false => Err(not_records()),
            }
        }
        Some(_) => Err(not_records()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: &[&str]) {
        let mut records = Records::new(body.as_bytes());
        let mut read = Vec::new();
        let end = loop {
            match records.next_record() {
                Ok(Some(record)) => read.push(String::from_utf8(record).unwrap()),
                Ok(None) => break "end".to_owned(),
                Err(error) => break error.to_string(),
            }
        };
        read.push(end);
        assert_eq!(read, expected);
    }

    #[test]
    fn records_come_whole_however_they_are_cut_into_chunks() {
        check(
            "7\r\n2\nab3\nc\r\n2\r\nde\r\n0\r\n\r\n",
            &["ab", "cde", "end"],
        );
        check("1\r\n1\r\n2\r\n\na\r\n0\r\n\r\n", &["a", "end"]);
        check("0\r\n\r\n", &["end"]);
    }

    #[test]
    fn what_is_no_stream_of_records_is_said() {
        check("4\r\n{\"a\"\r\n0\r\n\r\n", &["not a stream of records"]);
        check("3\r\n9\na\r\n0\r\n\r\n", &["unexpected end of file"]);
        check(
            "17\r\n99999999999999999999999\r\n0\r\n\r\n",
            &["not a stream of records"],
        );
        check(
            "b\r\n9999999999\n\r\n0\r\n\r\n",
            &["not a stream of records"],
        );
    }
}
