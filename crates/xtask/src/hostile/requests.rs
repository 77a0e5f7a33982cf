//! Hostile requests, one function a kind, made from a seed.

use std::io::Write;
use std::time::Duration;

use api::v1::scheduler;

/// How deep nested bodies are.
const DEPTH: usize = 100_000;
/// Larger than any header a master takes.
const HEADER_BYTES: usize = 200 << 10;

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Noise,
    Truncated,
    WrongLength,
    BadChunks,
    HugeHeader,
    ManyHeaders,
    LongLine,
    DeepJson,
    BrokenJson,
    BrokenProtobuf,
    DeepProtobuf,
    GzipBomb,
    OddPath,
    OddQuery,
    Http2Noise,
    SlowHead,
    SlowBody,
    UnreadStream,
    UnreadPipeline,
    WrongStream,
    OddOperator,
    OddForm,
}

impl Kind {
    pub(super) const ALL: [Self; 22] = [
        Self::Noise,
        Self::Truncated,
        Self::WrongLength,
        Self::BadChunks,
        Self::HugeHeader,
        Self::ManyHeaders,
        Self::LongLine,
        Self::DeepJson,
        Self::BrokenJson,
        Self::BrokenProtobuf,
        Self::DeepProtobuf,
        Self::GzipBomb,
        Self::OddPath,
        Self::OddQuery,
        Self::Http2Noise,
        Self::SlowHead,
        Self::SlowBody,
        Self::UnreadStream,
        Self::UnreadPipeline,
        Self::WrongStream,
        Self::OddOperator,
        Self::OddForm,
    ];

    /// The pause between the pieces of one that is sent slowly.
    pub(super) const fn pause(self) -> Option<Duration> {
        match self {
            Self::SlowHead | Self::SlowBody => Some(Duration::from_millis(40)),
            _ => None,
        }
    }

    /// Whether nobody reads what comes back.
    pub(super) const fn is_never_read(self) -> bool {
        matches!(self, Self::UnreadStream | Self::UnreadPipeline)
    }

    /// The bytes of one.
    pub(super) fn make(self, random: &mut Random) -> Vec<u8> {
        match self {
            Self::Noise => random.up_to(2000),
            Self::Truncated => {
                let mut whole = call(JSON, &json_call(random));
                let end = random.below(whole.len());
                whole.truncate(end);
                whole
            }
            Self::WrongLength => {
                let lengths = [
                    "-1",
                    "18446744073709551616",
                    "1e3",
                    "5, 6",
                    "",
                    "0x10",
                    "99",
                ];
                let length = lengths[random.below(lengths.len())];
                let body = json_call(random);
                head(&format!(
                    "Content-Type: {JSON}\r\nContent-Length: {length}\r\nContent-Length: 7\r\n"
                ))
                .into_bytes()
                .into_iter()
                .chain(body)
                .collect()
            }
            Self::BadChunks => {
                let sizes = ["zz", "ffffffffffffffff", "-5", "5;x=\"", "7fffffff", ""];
                let size = sizes[random.below(sizes.len())];
                let mut bytes = head(&format!(
                    "Content-Type: {JSON}\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n"
                ))
                .into_bytes();
                bytes.extend(format!("{size}\r\n").bytes());
                bytes.extend(random.up_to(5000));
                bytes
            }
            Self::HugeHeader => head(&format!("X: {}\r\n", "x".repeat(HEADER_BYTES))).into_bytes(),
            Self::ManyHeaders => head(&"A: b\r\n".repeat(5000)).into_bytes(),
            Self::LongLine => format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(HEADER_BYTES)).into(),
            Self::DeepJson => {
                let open = ["[", "{\"a\":", "{\"accept\":{\"operations\":["][random.below(3)];
                call(JSON, open.repeat(DEPTH).as_bytes())
            }
            Self::BrokenJson => {
                let mut body = json_call(random);
                for _ in 0..=random.below(4) {
                    let place = random.below(body.len());
                    body[place] = random.byte();
                }
                call(JSON, &body)
            }
            Self::BrokenProtobuf => {
                let mut body = protobuf_call(random);
                let place = random.below(body.len());
                body[place] = random.byte();
                let end = 1 + random.below(body.len());
                body.truncate(end);
                call(PROTOBUF, &body)
            }
            // Field 4 (accept) of a call within itself, each of a length that cannot be.
            Self::DeepProtobuf => call(PROTOBUF, &[0x22, 0xff, 0x7f].repeat(DEPTH / 4)),
            Self::GzipBomb => {
                let body = gzip(&vec![b' '; 8 << 20]);
                let mut bytes = head(&format!(
                    "Content-Type: {JSON}\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n",
                    body.len()
                ))
                .into_bytes();
                bytes.extend(body);
                bytes
            }
            Self::OddPath => {
                let paths = [
                    "/../../etc/passwd",
                    "/%00",
                    "/master/%2e%2e/state",
                    "/files/read?path=/../../etc/passwd",
                    "/master/state/../../x",
                    "//",
                    "/%zz",
                    "*",
                    "http://other.host/state",
                ];
                let path = paths[random.below(paths.len())];
                format!("GET {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n").into()
            }
            Self::OddQuery => {
                let queries = [
                    "tasks?limit=-1",
                    "tasks?limit=99999999999999999999&offset=1e9",
                    "tasks?offset=18446744073709551615&limit=18446744073709551615",
                    "state?jsonp=%0d%0aX:%20y",
                    "slaves?slave_id=%ff",
                    "files/read?path=/master/log&offset=-9223372036854775808&length=9223372036854775807",
                    "metrics/snapshot?timeout=1e400secs",
                ];
                let query = queries[random.below(queries.len())];
                format!("GET /{query} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n").into()
            }
            Self::Http2Noise => {
                let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
                bytes.extend(random.up_to(4000));
                bytes
            }
            Self::SlowHead => head("A: b\r\n").into_bytes(),
            Self::SlowBody => call(JSON, &json_call(random)),
            Self::UnreadStream => {
                let body = br#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}"#;
                call(JSON, body)
            }
            Self::UnreadPipeline => "GET /state HTTP/1.1\r\nHost: m\r\n\r\n".repeat(500).into(),
            Self::WrongStream => {
                let body = json_call(random);
                let mut bytes = head(&format!(
                    "Content-Type: {JSON}\r\nMesos-Stream-Id: {}\r\nContent-Length: {}\r\n",
                    "\u{1f4a3}".repeat(50),
                    body.len()
                ))
                .into_bytes();
                bytes.extend(body);
                bytes
            }
            Self::OddOperator => {
                let calls: [&[u8]; 6] = [
                    br#"{"type":"GET_METRICS","get_metrics":{"timeout":{"nanoseconds":-1}}}"#,
                    br#"{"type":"READ_FILE","read_file":{"offset":18446744073709551615,"path":"/"}}"#,
                    br#"{"type":"RESERVE_RESOURCES","reserve_resources":{"agent_id":{"value":"x"},"resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":1e308}}]}}"#,
                    br#"{"type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[{"weight":-0.0,"role":"/"}]}}"#,
                    br#"{"type":"UPDATE_QUOTA","update_quota":{"quota_configs":[{"role":"a","limits":{"cpus":{"value":1e300}}}]}}"#,
                    br#"{"type":"DRAIN_AGENT","drain_agent":{"agent_id":{"value":"x"},"max_grace_period":{"seconds":-9223372036854775808}}}"#,
                ];
                post("/api/v1", JSON, calls[random.below(calls.len())])
            }
            Self::OddForm => {
                let forms = ["frameworkId", "slaveId=x&resources=[", "%%%", "a=b&a=b&&&="];
                let paths = [
                    "/teardown",
                    "/reserve",
                    "/quota",
                    "/weights",
                    "/machine/down",
                ];
                let form = forms[random.below(forms.len())];
                let path = paths[random.below(paths.len())];
                post(path, "application/x-www-form-urlencoded", form.as_bytes())
            }
        }
    }
}

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

fn head(fields: &str) -> String {
    format!("POST /api/v1/scheduler HTTP/1.1\r\nHost: m\r\nConnection: close\r\n{fields}\r\n")
}

fn call(kind: &str, body: &[u8]) -> Vec<u8> {
    post("/api/v1/scheduler", kind, body)
}

fn post(path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "POST {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend(body);
    bytes
}

fn json_call(random: &mut Random) -> Vec<u8> {
    let calls: [&[u8]; 4] = [
        br#"{"type":"ACCEPT","framework_id":{"value":"f"},"accept":{"offer_ids":[{"value":"o"}],"operations":[{"type":"LAUNCH","launch":{"task_infos":[{"name":"t","task_id":{"value":"t"},"agent_id":{"value":"a"},"resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":1e-9}}]}]}}]}}"#,
        br#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n","roles":["a/b","*"],"failover_timeout":1e300},"offer_constraints":{"role_constraints":{"a/b":{"groups":[{"attribute_constraints":[{"selector":{"attribute_name":"x"},"predicate":{"text_matches":{"regex":"((((a*)*)*)*)*b"}}}]}]}}}}}"#,
        br#"{"type":"RECONCILE","framework_id":{"value":"f"},"reconcile":{"tasks":[{"task_id":{"value":"\u0000"}}]}}"#,
        br#"{"type":"ACKNOWLEDGE","framework_id":{"value":"f"},"acknowledge":{"agent_id":{"value":"a"},"task_id":{"value":"t"},"uuid":"AAAA"}}"#,
    ];
    calls[random.below(calls.len())].to_vec()
}

fn protobuf_call(random: &mut Random) -> Vec<u8> {
    use prost::Message;
    let call: Result<scheduler::Call, _> = api::json::from_json(&json_call(random));
    call.map(|call| call.encode_to_vec())
        .unwrap_or_else(|_| random.bytes(64))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing into memory does not go wrong.
    drop(encoder.write_all(bytes));
    encoder.finish().unwrap_or_default()
}

/// Numbers from a seed (the finaliser of SplitMix64 over a counter).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, 0 where that is 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.next() & 0xff).unwrap_or(0)
    }

    /// At least one byte, and at most so many.
    fn up_to(&mut self, max: usize) -> Vec<u8> {
        let count = 1 + self.below(max);
        self.bytes(count)
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }
}
