//! How fast request heads are parsed and events are encoded, and what it costs to parse again after each
//! byte: `cargo bench --bench request`.

use bare_sse::event_stream::Event;
use bare_sse::request;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

/// What wrk sends: nearly the shortest head that HTTP/1.1 allows.
const WRK: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n";

/// What Chromium sends when somebody types the address of the page.
const CHROMIUM: &str = "\
    GET / HTTP/1.1\r\n\
    Host: localhost:3000\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"156\", \"Not;A=Brand\";v=\"8\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/156.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
    image/apng,*/*;q=0.8\r\n\
    Sec-Fetch-Site: none\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-User: ?1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\
    \r\n";

/// What Chromium's `EventSource` sends when its stream has ended after event 41.
const RECONNECT: &str = "\
    GET /events HTTP/1.1\r\n\
    Host: localhost:3000\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/156.0.0.0 Safari/537.36\r\n\
    Accept: text/event-stream\r\n\
    sec-ch-ua: \"Chromium\";v=\"156\", \"Not;A=Brand\";v=\"8\"\r\n\
    Last-Event-ID: 41\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: cors\r\n\
    Sec-Fetch-Dest: empty\r\n\
    Referer: http://localhost:3000/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\
    \r\n";

/// Whole heads, in bytes per second.
fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse a head");
    for (name, head) in [
        ("wrk", WRK),
        ("Chromium", CHROMIUM),
        ("EventSource reconnect", RECONNECT),
    ] {
        let head = head.as_bytes();
        assert!(matches!(request::parse(head), Ok(Some(_))));
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(request::parse(black_box(head))));
        });
    }
    group.finish();
}

/// Events, in bytes per second: the counter's, and one of 100 lines.
fn encode(criterion: &mut Criterion) {
    let text = ["Everything that is written here becomes the data of one event."; 100].join("\n");
    let mut group = criterion.benchmark_group("encode an event");
    for (name, data) in [("the counter's", "86400"), ("100 lines", &text)] {
        let event = Event {
            id: Some("86400"),
            data: Some(data),
            ..Event::default()
        };
        let block = event.encode().expect("it holds no CR, LF or NUL");
        group.throughput(Throughput::Bytes(block.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| black_box(&event).encode()));
    }
    group.finish();
}

/// A head of 16,000 bytes that comes one byte at a time. The parser starts over after each byte. Both
/// times are for one byte: parsing is the mean over all of the head, the system calls are a write and
/// a read on loopback.
fn one_byte_at_a_time(criterion: &mut Criterion) {
    let field = format!("Field: {}\r\n", "v".repeat(181));
    let fields = field.repeat(84);
    let head = format!("GET / HTTP/1.1\r\nHost: localhost:3000\r\n{fields}\r\n");
    let head = head.as_bytes();
    assert_eq!(head.len(), 16_000);
    assert!(matches!(request::parse(head), Ok(Some(_))));

    let mut group = criterion.benchmark_group("one byte of a head of 16,000 bytes");
    group.bench_function("parse all bytes so far", |bencher| {
        bencher.iter_custom(|count| {
            let count = count as usize;
            let start = Instant::now();
            // Lengths from the shortest to the whole head, evenly spaced.
            for number in 1..=count {
                let come = &head[..number * head.len() / count];
                let _ = black_box(request::parse(black_box(come)));
            }
            start.elapsed()
        });
    });
    group.bench_function("write and read it", |bencher| {
        let (mut client, mut server) = connection();
        let mut byte = [b'a'];
        bencher.iter(|| {
            client.write_all(&byte).expect("the connection is open");
            server
                .read_exact(&mut byte)
                .expect("the connection is open");
        });
    });
    group.finish();
}

/// Both ends of a connection on loopback, on which each write is sent at once.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let client = TcpStream::connect(address).expect("the listener is open");
    client.set_nodelay(true).expect("an open connection");
    let (server, _) = listener.accept().expect("a client");
    (client, server)
}

criterion_group!(benches, parse, encode, one_byte_at_a_time);
criterion_main!(benches);
