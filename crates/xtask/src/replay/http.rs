//! HTTP/1.1 by hand: what was recorded goes over the wire as it was, malformed or not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use api::recordio::Decoder;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::case::{self, Api};

/// The largest record that is read.
const RECORD_BYTES_MAX: usize = 16 << 20;

/// An answer; the body of a stream is read by [`EventStream`].
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status_line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        case::header(&self.headers, name)
    }
}

/// What came on an event stream.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) events: Vec<Value>,
    /// Whether the master ended it in good order.
    pub(crate) ended: bool,
}

/// An open event stream; it is cut when dropped.
#[derive(Debug)]
pub(crate) struct EventStream {
    log: Arc<Mutex<Log>>,
    reader: JoinHandle<()>,
}

impl EventStream {
    fn open(connection: BufReader<TcpStream>, form: Form) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let reader = tokio::spawn(read_events(connection, form, Arc::clone(&log)));
        Self { log, reader }
    }

    /// Hands over what came since the last call, and whether the stream has ended.
    pub(crate) fn take(&self) -> (Vec<Value>, bool) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut log.events), log.ended)
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Sends bytes on a connection of its own; gives back the answer, and the stream if it is one.
pub(crate) async fn exchange(
    address: SocketAddr,
    bytes: &[u8],
) -> std::io::Result<(Reply, Option<EventStream>)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(bytes).await?;
    let mut connection = BufReader::new(stream);
    let mut reply = head(&mut connection).await?;
    while reply.status_line.contains(" 100 ") {
        reply = head(&mut connection).await?;
    }
    let api = match reply.header("Mesos-Stream-Id") {
        Some(_) => Some(Api::Scheduler),
        None => opens(bytes, &reply),
    };
    if let Some(api) = api {
        let form = match reply.header("Content-Type") {
            Some("application/json") => Form::Json,
            _ => Form::Protobuf(api),
        };
        return Ok((reply, Some(EventStream::open(connection, form))));
    }
    if bytes.starts_with(b"HEAD ") {
        return Ok((reply, None));
    }
    reply.body = match reply.header("Content-Length").map(str::parse) {
        Some(Ok(length)) => {
            let mut body = vec![0; length];
            connection.read_exact(&mut body).await?;
            body
        }
        _ if reply.header("Transfer-Encoding") == Some("chunked") => {
            let mut body = Vec::new();
            while let Some(chunk) = chunk(&mut connection).await {
                if chunk.is_empty() {
                    break;
                }
                body.extend(chunk);
            }
            body
        }
        _ => {
            let mut body = Vec::new();
            connection.read_to_end(&mut body).await?;
            body
        }
    };
    Ok((reply, None))
}

/// What a request opens where its answer has no header that tells a stream: a SUBSCRIBE of the
/// operator or the executor API, or the output of a container.
fn opens(request: &[u8], reply: &Reply) -> Option<Api> {
    if !reply.status_line.contains(" 200 ") {
        return None;
    }
    let end = request.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = request.split_at(end.map_or(request.len(), |end| end + 4));
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let target = line.split(' ').nth(1).unwrap_or_default();
    let call: Option<Value> = serde_json::from_slice(body).ok();
    let kind = call.as_ref().and_then(|call| call["type"].as_str());
    // In protobuf the field `type` comes first.
    let is = |name: &str, number: u8| match kind {
        Some(kind) => kind == name,
        None => body.starts_with(&[0x08, number]),
    };
    if target.ends_with("/api/v1/executor") {
        return is("SUBSCRIBE", 1).then_some(Api::Executor);
    }
    let of_agent = target.starts_with("/slave(") || target.starts_with("/slave%28");
    match target.ends_with("/api/v1") {
        true if of_agent => {
            let streams = [
                ("LAUNCH_NESTED_CONTAINER_SESSION", 17),
                ("ATTACH_CONTAINER_OUTPUT", 19),
            ];
            let opened = streams.into_iter().any(|(name, number)| is(name, number));
            opened.then_some(Api::Process)
        }
        true => is("SUBSCRIBE", 18).then_some(Api::Operator),
        false => None,
    }
}

async fn head(connection: &mut BufReader<TcpStream>) -> std::io::Result<Reply> {
    let mut reply = Reply {
        status_line: line(connection).await?,
        ..Reply::default()
    };
    loop {
        let line = line(connection).await?;
        let Some((name, value)) = line.split_once(':') else {
            return Ok(reply);
        };
        reply
            .headers
            .push((name.to_owned(), value.trim().to_owned()));
    }
}

async fn line(connection: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut line = Vec::new();
    connection.read_until(b'\n', &mut line).await?;
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

/// The next chunk, empty for the last; `None` where the connection ends.
async fn chunk(connection: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let line = line(connection).await.ok()?;
    let length = usize::from_str_radix(&line, 16).ok()?;
    let mut chunk = vec![0; length + 2];
    connection.read_exact(&mut chunk).await.ok()?;
    chunk.truncate(length);
    Some(chunk)
}

/// How events are written.
#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Protobuf(Api),
}

async fn read_events(mut connection: BufReader<TcpStream>, form: Form, log: Arc<Mutex<Log>>) {
    let mut records = Decoder::new(RECORD_BYTES_MAX);
    while let Some(chunk) = chunk(&mut connection).await {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if chunk.is_empty() {
            log.ended = true;
            return;
        }
        records.push(&chunk);
        while let Ok(Some(record)) = records.record() {
            log.events.push(match form {
                Form::Json => serde_json::from_slice(&record).unwrap_or_default(),
                Form::Protobuf(api) => case::event_of_wire(api, &record),
            });
        }
    }
}
