//! How fast request heads are parsed, in bytes per second: `cargo bench --bench request`.
//!
//! One parser takes head after head, as it does on a connection that persists.

use bare_sse::request::{Method, RequestParser, Version};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

/// What wrk sends: the shortest head that HTTP/1.1 allows, or nearly so.
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

/// What Chromium's `EventSource` sends when its stream has ended behind event 41.
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

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse a head");
    for (name, head, path, last_event_id) in [
        ("wrk", WRK, "/", None),
        ("Chromium", CHROMIUM, "/", None),
        ("EventSource reconnect", RECONNECT, "/events", Some("41")),
    ] {
        let bytes = head.as_bytes();
        check(bytes, path, last_event_id);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            let mut parser = RequestParser::default();
            bencher.iter(|| black_box(parser.parse(black_box(bytes))));
        });
    }
    group.finish();
}

/// The parser takes the whole head, twice, and sees in it what it should.
fn check(bytes: &[u8], path: &str, last_event_id: Option<&str>) {
    let mut parser = RequestParser::default();
    for _ in 0..2 {
        let request = parser.parse(bytes).expect("a valid head");
        let request = request.expect("a whole head");
        assert_eq!(request.method, Method::Get);
        assert_eq!(request.path, path.as_bytes());
        assert_eq!(request.version, Version::Http11);
        assert!(request.persistent && !request.has_content);
        assert_eq!(request.last_event_id, last_event_id.map(str::as_bytes));
        assert_eq!(request.head_length, bytes.len());
    }
}

criterion_group!(benches, parse);
criterion_main!(benches);
