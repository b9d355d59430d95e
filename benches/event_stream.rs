//! How fast events are encoded, in bytes per second: `cargo bench --bench event_stream`.

use bare_sse::event_stream::{Event, comment};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn encode(criterion: &mut Criterion) {
    let counter_event = Event {
        id: Some("86400"),
        data: Some("86400"),
        ..Event::default()
    };
    let text = ["Everything that is written here becomes the data of one event."; 100].join("\n");
    let long_event = Event {
        event: Some("text"),
        id: Some("7"),
        data: Some(&text),
        ..Event::default()
    };

    let mut group = criterion.benchmark_group("encode");
    for (name, event) in [
        ("the counter's event", counter_event),
        ("an event of 100 lines", long_event),
    ] {
        let block = event.encode().expect("it holds no CR, LF or NUL");
        group.throughput(Throughput::Bytes(block.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(&event).encode());
        });
    }
    let block = comment("keep-alive");
    group.throughput(Throughput::Bytes(block.len() as u64));
    group.bench_function("a comment", |bencher| {
        bencher.iter(|| comment(black_box("keep-alive")));
    });
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
