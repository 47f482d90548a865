//! The codec against a server that somebody else wrote: the `h2` crate.

use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// What the server is to answer to one request.
#[derive(Clone, Debug)]
struct Plan {
    status: u16,
    states_length: bool,
    body: Vec<u8>,
    /// The lengths of the DATA frames, as long as the server may send such.
    frames: usize,
    has_trailers: bool,
    /// The stream is reset after the body.
    is_reset: bool,
}

impl Plan {
    fn roll(dice: &mut Dice) -> Plan {
        let most = dice.one_of(&[1, 1000, 100_000, 1 << 20]);
        let len = dice.below(most);
        let seed = dice.below(1 << 20);
        let body = (0..len)
            .map(|at| (at * 31 + seed) as u8 ^ (at >> 8) as u8)
            .collect();
        let kind = dice.below(10);
        Plan {
            status: if kind == 0 { 404 } else { 200 },
            states_length: dice.below(2) == 0,
            body,
            frames: 1 + dice.one_of(&[len / 300, 1000, 16_384, 100_000, 1 << 20]),
            has_trailers: kind == 1,
            is_reset: kind == 2,
        }
    }
}

/// Answers every request by the plan that its path names.
async fn serve(io: DuplexStream, plans: Vec<Plan>, max_streams: u32) {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(max_streams)
        .max_frame_size(1 << 20);
    let mut connection = builder.handshake::<_, Bytes>(io).await.unwrap();
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request.unwrap();
        assert_eq!(request.method(), "GET");
        assert_eq!(request.uri().scheme_str(), Some("https"));
        assert_eq!(request.uri().authority().unwrap(), "pbs.example:8007");
        let number: usize = request.uri().query().unwrap().parse().unwrap();
        let plan = plans[number].clone();
        tokio::spawn(async move {
            let mut response = http::Response::builder()
                .status(plan.status)
                .header("date", "Mon, 23 Nov 2026 00:00:00 GMT")
                .header("x-number", number.to_string());
            if plan.states_length {
                response = response.header("content-length", plan.body.len());
            }
            let ends_at_once = plan.body.is_empty() && !plan.has_trailers && !plan.is_reset;
            let mut stream = respond
                .send_response(response.body(()).unwrap(), ends_at_once)
                .unwrap();
            if ends_at_once {
                return;
            }
            let mut parts = plan.body.chunks(plan.frames).peekable();
            while let Some(part) = parts.next() {
                let is_last = parts.peek().is_none() && !plan.has_trailers && !plan.is_reset;
                stream
                    .send_data(Bytes::copy_from_slice(part), is_last)
                    .unwrap();
                tokio::task::yield_now().await;
            }
            if plan.is_reset {
                stream.send_reset(h2::Reason::INTERNAL_ERROR);
            } else if plan.has_trailers {
                let mut trailers = http::HeaderMap::new();
                trailers.insert("checksum", "none".parse().unwrap());
                stream.send_trailers(trailers).unwrap();
            } else if plan.body.is_empty() {
                stream.send_data(Bytes::new(), true).unwrap();
            }
        });
    }
}

/// Asks for everything that is planned, with as many requests at once as there may be, and compares the answers.
async fn ask(io: DuplexStream, config: Config, plans: &[Plan], piece: usize) {
    let (mut reader, mut writer) = tokio::io::split(io);
    let mut codec = Codec::new(config);
    let mut open = HashMap::new();
    let mut wanted: Vec<usize> = (0..plans.len()).collect();
    let (mut done, mut pongs) = (0, 0);
    let mut input = vec![0; piece];
    codec.ping();
    while done < plans.len() {
        while codec.capacity() > 0
            && let Some(number) = wanted.pop()
        {
            let path = format!("/chunk?{number}");
            let asked = codec.request(&path, "pbs.example:8007", Buffer::new(), 1 << 20);
            open.insert(asked.unwrap(), number);
        }
        // Two that wait for room to send, and do not read meanwhile, would wait for ever.
        tokio::select! {
            biased;
            len = reader.read(&mut input) => {
                let len = len.unwrap();
                assert!(len > 0, "the server hung up");
                codec.receive(&input[..len]).unwrap();
            }
            len = writer.write(codec.output()), if !codec.output().is_empty() => {
                codec.sent(len.unwrap());
            }
        }
        while let Some(event) = codec.next_event() {
            match event {
                Event::Finished { stream, head, body } => {
                    let plan = &plans[open.remove(&stream).unwrap()];
                    assert!(!plan.is_reset);
                    assert_eq!(head.status, plan.status);
                    assert_eq!(head.content_length.is_some(), plan.states_length);
                    let kept = if plan.status == 200 {
                        plan.body.len()
                    } else {
                        plan.body.len().min(64 << 10)
                    };
                    assert!(body[..] == plan.body[..kept], "a body differs");
                    done += 1;
                }
                // Asked for before the server had said how many it allows.
                Event::Failed {
                    stream,
                    error: StreamError::Refused,
                    ..
                } => wanted.push(open.remove(&stream).unwrap()),
                Event::Failed { stream, error, .. } => {
                    let plan = &plans[open.remove(&stream).unwrap()];
                    assert!(plan.is_reset, "{error}");
                    assert_eq!(error, StreamError::Reset(ErrorCode(2)));
                    done += 1;
                }
                Event::Pong => pongs += 1,
            }
        }
    }
    assert_eq!((pongs, codec.goodbye()), (1, None));
    codec.go_away();
    writer.write_all(codec.output()).await.unwrap();
}

#[test]
fn answers_of_h2_come_byte_for_byte() {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        compare();
        done.send(()).unwrap();
    });
    // An error here is a panic there, whose message has been printed, or time that is up.
    is_done.recv_timeout(Duration::from_secs(60)).unwrap();
}

fn compare() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for seed in 0..40 {
        let mut dice = Dice::new(seed);
        let plans: Vec<_> = (0..1 + dice.below(24))
            .map(|_| Plan::roll(&mut dice))
            .collect();
        let max_streams = dice.one_of(&[1, 3, 8, 200]);
        let config = Config {
            max_frame: dice.one_of(&[0, 1 << 15, 1 << 20, 4 << 20]),
            header_table: dice.one_of(&[0, 0, 100, 4096]),
        };
        let (client, server) = duplex(dice.one_of(&[100, 5000, 1 << 20]));
        let piece = dice.one_of(&[1000, 16_384, 100_000]);
        let server = runtime.spawn(serve(server, plans.clone(), max_streams));
        runtime.block_on(ask(client, config, &plans, piece));
        runtime.block_on(server).unwrap();
    }
}
