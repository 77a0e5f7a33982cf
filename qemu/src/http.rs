//! HTTP/1.1, enough to ask the master how it is and to hear its events.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::records::Records;

/// How long the other end may take for each step.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a stream of events may be silent: heartbeats come every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The longest body that is read.
const BODY_MAX: u64 = 64 << 20;

/// What a master answers itself only while it leads, and what is short.
const LED: &str = "/master/maintenance/status";

/// Which of several masters, with commas between them, leads; the one, where there is but one.
///
/// # Errors
/// None does.
pub fn leader(masters: &str) -> io::Result<Cow<'_, str>> {
    if !masters.contains(',') {
        return Ok(Cow::Borrowed(masters));
    }
    let leads = |one: &&str| matches!(get(one, LED), Ok((200, _)));
    let found = masters.split(',').find(leads);
    found
        .map(Cow::Borrowed)
        .ok_or_else(|| io::Error::other(format!("none of {masters} leads")))
}

/// Fetches `path` from `address` (`127.0.0.1:5050`; of several, from the leading master): the status
/// and the body.
///
/// # Errors
/// Nobody listens there, or what answers is no HTTP server.
pub fn get(address: &str, path: &str) -> io::Result<(u16, Vec<u8>)> {
    let address = &*leader(address)?;
    let mut stream = connect(address, PATIENCE)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    answer(&mut BufReader::new(stream))
}

/// Posts JSON to `path` at `address`, and waits for the answer as long as it may take to come to one.
///
/// # Errors
/// Nobody listens there, or what answers is no HTTP server.
pub fn post(address: &str, path: &str, json: &str) -> io::Result<(u16, Vec<u8>)> {
    post_within(address, path, json, SILENCE_MAX)
}

/// The same, with a bound on how long nothing may come.
///
/// # Errors
/// As [`post`]; `WouldBlock` once the time is over.
pub fn post_within(
    address: &str,
    path: &str,
    json: &str,
    silence_max: Duration,
) -> io::Result<(u16, Vec<u8>)> {
    let address = &*leader(address)?;
    let mut stream = connect(address, silence_max)?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    );
    stream.write_all(request.as_bytes())?;
    answer(&mut BufReader::new(stream))
}

/// Subscribes to the events of the master at `address`.
///
/// # Errors
/// Nobody listens there, or what answers is no master with such a stream.
pub fn subscribe(address: &str) -> io::Result<Records<BufReader<TcpStream>>> {
    let address = &*leader(address)?;
    let mut stream = connect(address, SILENCE_MAX)?;
    let call = r#"{"type":"SUBSCRIBE"}"#;
    let request = format!(
        "POST /api/v1 HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nContent-Length: {}\r\n\r\n{call}",
        call.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(stream);
    match head(&mut reader)? {
        (200, _) => Ok(Records::new(reader)),
        (status, _) => Err(io::Error::other(format!("it answers {status}"))),
    }
}

fn connect(address: &str, silence_max: Duration) -> io::Result<TcpStream> {
    let to = address.to_socket_addrs()?.next();
    let to = to.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(silence_max))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Reads an answer: by its length, in chunks, or to the end of the stream.
fn answer(from: &mut impl BufRead) -> io::Result<(u16, Vec<u8>)> {
    let (status, headers) = head(from)?;
    let header = |wanted: &str| {
        let found = headers.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    };
    let mut body = Vec::new();
    if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        while chunk(from, &mut body)? {}
    } else {
        let length = header("content-length").and_then(|value| value.parse().ok());
        from.take(length.unwrap_or(BODY_MAX).min(BODY_MAX))
            .read_to_end(&mut body)?;
    }
    Ok((status, body))
}

/// The status and the headers, names in lower case.
pub fn head(from: &mut impl BufRead) -> io::Result<(u16, Vec<(String, String)>)> {
    let not_http = || io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer");
    let first = line(from)?;
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .ok_or_else(not_http)?;
    let mut headers = Vec::new();
    loop {
        let text = line(from)?;
        if text.is_empty() {
            return Ok((status, headers));
        }
        let (name, value) = text.split_once(':').ok_or_else(not_http)?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Reads one chunk and appends it to `body`; false after the last.
pub fn chunk(from: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<bool> {
    let size = line(from)?;
    let size = size.split(';').next().unwrap_or_default().trim();
    let size = u64::from_str_radix(size, 16)
        .ok()
        .filter(|size| *size <= BODY_MAX)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not the size of a chunk"))?;
    let read = from.take(size).read_to_end(body)?;
    if (read as u64) < size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line(from)?;
    Ok(size > 0)
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut data = Vec::new();
    from.take(64 * 1024).read_until(b'\n', &mut data)?;
    if data.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = String::from_utf8_lossy(&data);
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let read = match answer(&mut text.as_bytes()) {
            Ok((status, body)) => format!("{status} {}", String::from_utf8_lossy(&body)),
            Err(error) => error.to_string(),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_body_is_read_by_length_in_chunks_or_to_the_end() {
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}more",
            "200 {}",
        );
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            "200 abc",
        );
        check("HTTP/1.0 404 Not Found\r\n\r\nnone", "404 none");
    }

    #[test]
    fn what_is_not_http_is_said() {
        check("SSH-2.0-OpenSSH_9.2\r\n", "not an HTTP answer");
        check("", "unexpected end of file");
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "not the size of a chunk",
        );
    }
}
