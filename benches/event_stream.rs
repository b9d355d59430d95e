//! How fast events are encoded, in bytes per second: `cargo bench --bench event_stream`.
//!
//! One buffer takes block after block, as it does on a stream.

use bare_sse::event_stream::{Event, comment};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");

    let event = Event {
        id: Some("86400"),
        data: Some("86400"),
        ..Event::default()
    };
    let expected = "id: 86400\ndata: 86400\n\n";
    bench(&mut group, "the counter's event", expected, |out| {
        black_box(&event)
            .encode(out)
            .expect("digits can be written");
    });

    let text = ["Everything that is written here becomes the data of one event."; 100].join("\n");
    let event = Event {
        event: Some("text"),
        id: Some("7"),
        data: Some(&text),
        ..Event::default()
    };
    let data = text.replace('\n', "\ndata: ");
    let expected = format!("event: text\nid: 7\ndata: {data}\n\n");
    bench(&mut group, "an event of 100 lines", &expected, |out| {
        black_box(&event).encode(out).expect("words can be written");
    });

    bench(&mut group, "a comment", ": keep-alive\n\n", |out| {
        comment(black_box("keep-alive"), out);
    });

    group.finish();
}

/// Times `encode`, when what it appends is what is expected.
fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    expected: &str,
    encode: impl Fn(&mut Vec<u8>),
) {
    let mut out = Vec::new();
    encode(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), expected);
    group.throughput(Throughput::Bytes(expected.len() as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            out.clear();
            encode(&mut out);
            black_box(&out);
        });
    });
}

criterion_group!(benches, encode);
criterion_main!(benches);
