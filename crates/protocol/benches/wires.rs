//! Bytes to values and back: a message on every wire, a client's WebSocket input, the check of a JSON payload, a cursor.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use switchboard_core::cursor::Cursor;
use switchboard_core::{ChannelName, Epoch, Frame, Payload, Position, Publication};
use switchboard_protocol::cursor::Encoder;
use switchboard_protocol::json::check_json;
use switchboard_protocol::websocket::decode::{Decoder, Limits};
use switchboard_protocol::websocket::deflate::Inflater;
use switchboard_protocol::wire::{self, Wire};

const DEFLATE_BYTES_MIN: usize = 512;

/// Payloads as they come: something said, and a record long enough to be compressed.
const PAYLOAD_BYTES: [usize; 2] = [64, 2048];

/// Commands in one read of a busy client.
const COMMANDS: usize = 16;

criterion_group!(wires, encode, decode, check, cursors);
criterion_main!(wires);

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for bytes in PAYLOAD_BYTES {
        let frame = message(bytes);
        for wire in Wire::ALL {
            let name = BenchmarkId::new(format!("{wire:?}"), bytes);
            group.bench_function(name, |bencher| {
                bencher.iter(|| wire::encode(black_box(&frame), wire, DEFLATE_BYTES_MIN));
            });
        }
    }
}

fn decode(criterion: &mut Criterion) {
    let input: Vec<u8> = (0..COMMANDS).flat_map(|_| masked_command()).collect();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(COMMANDS as u64));
    group.bench_function("WebSocket commands", |bencher| {
        let mut decoder = Decoder::new(Limits::default(), false);
        let mut inflater = Inflater::default();
        // Unmasking happens in place, so each pass needs its own input.
        bencher.iter_batched_ref(
            || input.clone(),
            |input| {
                let (mut rest, mut messages) = (&mut input[..], 0);
                while let Some(event) = decoder.next(&mut rest, &mut inflater).expect("valid") {
                    black_box(&event);
                    messages += 1;
                }
                assert_eq!(messages, COMMANDS);
            },
            BatchSize::SmallInput,
        );
    });
}

fn check(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check_json");
    for bytes in PAYLOAD_BYTES {
        let payload = json(bytes);
        group.throughput(Throughput::Bytes(payload.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter(|| check_json(black_box(&payload)).expect("valid"));
        });
    }
}

/// What an event stream over so many channels is told with each message.
fn cursors(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cursor");
    for channels in [1u64, 8, 64] {
        let position = |n| {
            let name = ChannelName::parse(&format!("chat:room-{n}")).expect("valid");
            let (epoch, offset) = (Epoch(0x5eed), 1_000_000 + n);
            (name, Position { epoch, offset })
        };
        let mut cursor = Cursor {
            sequence: 0,
            positions: (0..channels).map(position).collect(),
        };
        let mut encoder = Encoder::default();
        group.bench_function(BenchmarkId::from_parameter(channels), |bencher| {
            bencher.iter(|| encoder.encode(black_box(&mut cursor)).len());
        });
    }
}

fn message(payload_bytes: usize) -> Frame {
    Frame::Message(Arc::new(Publication {
        channel: ChannelName::parse("chat:42").expect("valid"),
        epoch: Epoch(0x5eed),
        offset: 1_000_001,
        payload: Payload::Json(json(payload_bytes)),
        id: None,
        from: None,
        time_ms: 1_700_000_000_000,
        tags: Vec::new(),
        exclude: None,
    }))
}

/// An array of records of about so many bytes.
fn json(bytes: usize) -> Bytes {
    const RECORD: &str = r#"{"user":"ada","seen":true,"n":12.5}"#;
    let records = vec![RECORD; (bytes / RECORD.len()).max(1)];
    Bytes::from(format!("[{}]", records.join(",")))
}

/// A client's text frame with a short command.
fn masked_command() -> Vec<u8> {
    const COMMAND: &[u8] = br#"{"id":7,"publish":{"channel":"chat:42","data":{"text":"hello"}}}"#;
    const MASK: [u8; 4] = [0x1f, 0x2e, 0x3d, 0x4c];
    let length = u8::try_from(COMMAND.len()).expect("shorter than 126 bytes");
    let mut frame = vec![0x81, 0x80 | length];
    frame.extend(MASK);
    frame.extend(COMMAND.iter().zip(MASK.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}
