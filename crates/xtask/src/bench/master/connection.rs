//! Connection: HTTP/1.1 by hand over a blocking socket, kept alive, so that little of what is
//! measured is the measuring.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How much is read at a time.
const BUFFER_BYTES: usize = 256 << 10;
/// How long an answer may take before the bench gives up.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What was read and not taken.
    start: usize,
    end: usize,
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    text: String,
    pub(super) status: u16,
}

impl Head {
    /// A header, by its name in any case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Connection {
    /// Opens one.
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("connect to the master")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
        })
    }

    /// Writes a request, or several.
    pub(super) fn send(&mut self, requests: &[u8]) -> Result<()> {
        self.stream.write_all(requests).context("send a request")
    }

    /// Sends a request and reads its answer to the end; gives the length of its body, which must
    /// come with a status of 2xx.
    pub(super) fn exchange(&mut self, request: &[u8]) -> Result<usize> {
        self.send(request)?;
        self.answer()
    }

    /// Reads the next answer to its end, and gives the length of its body.
    pub(super) fn answer(&mut self) -> Result<usize> {
        let head = self.head()?;
        let mut body = Body::Ignored(0);
        if let Some(length) = head.header("Content-Length") {
            let length = length.parse().context("read the length of an answer")?;
            self.take(length, &mut body)?;
        } else if head.header("Transfer-Encoding") == Some("chunked") {
            while self.chunk(&mut body)? {}
        }
        let Body::Ignored(length) = body else {
            bail!("a body that was passed over was kept");
        };
        ensure!(
            head.status / 100 == 2,
            "the master answers {} and {length} bytes",
            head.text.lines().next().unwrap_or_default()
        );
        Ok(length)
    }

    /// Reads the head of an answer.
    pub(super) fn head(&mut self) -> Result<Head> {
        let mut text = String::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            text.push_str(&line);
            text.push('\n');
        }
        let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.with_context(|| format!("read the answer {text:?}"))?;
        Ok(Head { text, status })
    }

    /// Appends the next chunk to `kept`; false where it was the last.
    pub(super) fn chunk_to(&mut self, kept: &mut Vec<u8>) -> Result<bool> {
        let mut body = Body::Kept(std::mem::take(kept));
        let is_more = self.chunk(&mut body);
        if let Body::Kept(bytes) = body {
            *kept = bytes;
        }
        is_more
    }

    fn chunk(&mut self, body: &mut Body) -> Result<bool> {
        let line = self.line()?;
        let length = usize::from_str_radix(line.trim(), 16);
        let length = length.with_context(|| format!("read the chunk's length {line:?}"))?;
        self.take(length, body)?;
        self.line()?;
        Ok(length > 0)
    }

    fn take(&mut self, mut length: usize, body: &mut Body) -> Result<()> {
        while length > 0 {
            if self.start == self.end {
                self.fill()?;
            }
            let part = length.min(self.end - self.start);
            body.add(&self.buffer[self.start..self.start + part]);
            self.start += part;
            length -= part;
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(length) = unread.iter().position(|byte| *byte == b'\n') {
                line.extend_from_slice(&unread[..length]);
                self.start += length + 1;
                let line = String::from_utf8(line).context("read a line")?;
                return Ok(line.trim_end().to_owned());
            }
            line.extend_from_slice(unread);
            self.start = self.end;
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        let length = self
            .stream
            .read(&mut self.buffer)
            .context("read an answer")?;
        ensure!(length > 0, "the master ended the connection");
        (self.start, self.end) = (0, length);
        Ok(())
    }
}

/// What becomes of a body: its length, or its bytes.
enum Body {
    Ignored(usize),
    Kept(Vec<u8>),
}

impl Body {
    fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Ignored(length) => *length += bytes.len(),
            Self::Kept(kept) => kept.extend_from_slice(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A connection to somebody who says this, whatever is asked.
    fn connection(says: &'static [u8]) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // In small pieces, so that lines and chunks are cut anywhere.
            for piece in says.chunks(3) {
                stream.write_all(piece).unwrap();
            }
        });
        Connection::open(address).unwrap()
    }

    #[test]
    fn answers_are_read_to_their_end_one_after_the_other() {
        let mut connection = connection(
            b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n\
              HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello\
              HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nb\r\n01234567890\r\n0\r\n\r\n\
              HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
        );
        for length in [0, 5, 14] {
            assert_eq!(connection.answer().unwrap(), length);
        }
        let refused = connection.answer().unwrap_err().to_string();
        assert!(refused.contains("403 Forbidden"), "{refused}");
    }

    #[test]
    fn chunks_are_kept_where_they_are_wanted() {
        let mut connection = connection(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n2\r\nab\r\n0\r\n\r\n");
        let head = connection.head().unwrap();
        assert_eq!((head.status, head.header("a")), (200, Some("b")));
        let mut kept = Vec::new();
        assert!(connection.chunk_to(&mut kept).unwrap());
        assert!(!connection.chunk_to(&mut kept).unwrap());
        assert_eq!(kept, b"ab");
    }
}
