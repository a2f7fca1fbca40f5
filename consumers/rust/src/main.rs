//! Decodes the Kafka records that Runcast wrote, and prints a line of JSON for each: what a Rust user would write from
//! the schemas. `runcast-consumer dashstream.v1` or `chat.v1`; stdin: for each record its length (4 bytes, big-endian,
//! -1 for none) and its value, as `kcat -f '%R%s'` writes them. It must never take a record for what it is not: one that
//! cannot be read is named on stderr, and the exit code is 1.
use prost::Message;
use ruzstd::decoding::StreamingDecoder;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read};
use std::process::ExitCode;

// The schema has messages that no record holds by itself.
#[allow(dead_code, clippy::all)]
mod dashstream {
    include!(concat!(env!("OUT_DIR"), "/dashstream.v1.rs"));
}
mod chat {
    include!(concat!(env!("OUT_DIR"), "/chat.v1.rs"));
}

/// Protobuf in one record: what Runcast writes at most.
const BODY_BYTES_MAX: usize = 1_048_576;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let read: fn(&[u8]) -> Outcome<Line> = match std::env::args().nth(1).as_deref() {
        Some("dashstream.v1") => dashstream_line,
        Some("chat.v1") => chat_line,
        _ => {
            eprintln!("usage: runcast-consumer dashstream.v1 | chat.v1, with records on stdin");
            return ExitCode::from(2);
        }
    };
    let mut failed = false;
    let mut input = io::stdin().lock();
    for number in 1.. {
        let line = match next_record(&mut input) {
            Ok(None) => break,
            Ok(Some(record)) => read(&record),
            Err(cut) => {
                eprintln!("record {number}: {cut}");
                return ExitCode::FAILURE;
            }
        };
        match line {
            Ok(line) => println!("{}}}", line.0),
            Err(error) => {
                eprintln!("record {number}: {error}");
                failed = true;
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

/// The next record that has a value; `None` at the end of the input, which may not be within one.
fn next_record(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    loop {
        let mut first = [0; 1];
        if input.read(&mut first)? == 0 {
            return Ok(None);
        }
        let mut rest = [0; 3];
        input.read_exact(&mut rest)?;
        let length = i32::from_be_bytes([first[0], rest[0], rest[1], rest[2]]);
        let Ok(length) = usize::try_from(length) else {
            continue;
        };
        if length > BODY_BYTES_MAX + 1 {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("{length} bytes are too many"),
            ));
        }
        let mut record = vec![0; length];
        input.read_exact(&mut record)?;
        return Ok(Some(record));
    }
}

/// The protobuf in a payload of DashStream: 0x00 and protobuf, or 0x01 and one zstd frame of it.
fn unframe(payload: &[u8]) -> Outcome<Vec<u8>> {
    let Some((first, mut rest)) = payload.split_first() else {
        return Err("it is empty".into());
    };
    match first {
        0x00 => return Ok(rest.to_vec()),
        0x01 => {}
        other => return Err(format!("it begins with {other:#04x}, not with 0x00 or 0x01").into()),
    }
    let mut body = Vec::new();
    let mut zstd = StreamingDecoder::new(&mut rest)?;
    // One byte more than allowed tells a body that is too large from one that just fits.
    (&mut zstd)
        .take(BODY_BYTES_MAX as u64 + 1)
        .read_to_end(&mut body)?;
    if body.len() > BODY_BYTES_MAX {
        return Err("its zstd frame holds too much".into());
    }
    let written = zstd.decoder.get_checksum_from_data();
    if written.is_some() && written != zstd.decoder.get_calculated_checksum() {
        return Err("the checksum of its zstd frame is another".into());
    }
    drop(zstd);
    if rest.is_empty() {
        Ok(body)
    } else {
        Err("something follows its zstd frame".into())
    }
}

fn dashstream_line(payload: &[u8]) -> Outcome<Line> {
    use dashstream::dash_stream_message::Message as Kind;
    let body = unframe(payload)?;
    let message = dashstream::DashStreamMessage::decode(body.as_slice())?;
    let unknown_bytes = body.len().saturating_sub(message.encoded_len());
    let kind = message.message.ok_or("it holds no message")?;
    let (name, text, header) = match kind {
        Kind::Event(it) => (
            "event",
            it.event_type().as_str_name().to_string(),
            it.header,
        ),
        Kind::StateDiff(it) => (
            "state_diff",
            format!("{} operations", it.operations.len()),
            it.header,
        ),
        Kind::TokenChunk(it) => ("token_chunk", it.text, it.header),
        Kind::ToolExecution(it) => ("tool_execution", it.tool_name, it.header),
        Kind::Checkpoint(it) => ("checkpoint", it.state_type, it.header),
        Kind::Metrics(it) => ("metrics", it.scope, it.header),
        Kind::Error(it) => ("error", it.message, it.header),
        Kind::EventBatch(it) => (
            "event_batch",
            format!("{} events", it.events.len()),
            it.header,
        ),
        Kind::ExecutionTrace(it) => ("execution_trace", it.execution_id, it.header),
    };
    let header = header.ok_or("it has no header")?;
    let mut line = Line::new(name, &text);
    line.text("thread_id", &header.thread_id);
    line.number("sequence", header.sequence);
    line.text("run_id", &header.run_id);
    line.number("run_sequence", header.run_sequence);
    line.number("unknown_bytes", unknown_bytes as u64);
    Ok(line)
}

fn chat_line(payload: &[u8]) -> Outcome<Line> {
    use chat::event_envelope::Event;
    let envelope = chat::EventEnvelope::decode(payload)?;
    let unknown_bytes = payload.len().saturating_sub(envelope.encoded_len());
    let (name, text) = match envelope.event.ok_or("it holds no event")? {
        Event::Status(it) => ("status", it.description),
        Event::Text(it) => ("text", it.content),
        Event::Chart(it) => ("chart", it.chart_type),
        Event::Error(it) => ("error", it.message),
        Event::Completion(it) => ("completion", it.r#type().as_str_name().to_string()),
    };
    let mut line = Line::new(name, &text);
    line.text("conversation_id", &envelope.conversation_id);
    line.text(
        "timestamp",
        &envelope.timestamp.ok_or("it has no timestamp")?.to_string(),
    );
    line.number("unknown_bytes", unknown_bytes as u64);
    Ok(line)
}

/// A JSON object without its last brace.
struct Line(String);

impl Line {
    fn new(kind: &str, text: &str) -> Line {
        let mut line = Line(String::from("{\"kind\":"));
        line.quote(kind);
        line.text("text", text);
        line
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.quote(value);
    }

    /// As a string, which is how protobuf's JSON writes 64 bits: many readers of JSON have only 53.
    fn number(&mut self, name: &str, value: u64) {
        self.text(name, &value.to_string());
    }

    fn name(&mut self, name: &str) {
        self.0.push(',');
        self.quote(name);
        self.0.push(':');
    }

    fn quote(&mut self, text: &str) {
        self.0.push('"');
        for one in text.chars() {
            match one {
                '"' | '\\' => self.0.extend(['\\', one]),
                '\0'..' ' => {
                    write!(self.0, "\\u{:04x}", one as u32).expect("a String takes everything")
                }
                _ => self.0.push(one),
            }
        }
        self.0.push('"');
    }
}
