//! The rules for request heads, as bytes and the answers they get. Each row is tried against the
//! parser and against the running server.

/// One request, and what comes of it.
pub struct Row {
    pub rule: &'static str,
    pub bytes: Vec<u8>,
    pub status: u16,
    /// Whether the parser accepts the head. The answer may be a refusal all the same.
    pub is_valid: bool,
    /// Whether the connection persists after the answer.
    pub persists: bool,
}

impl Row {
    /// Whether the request is HEAD, so that its answer has no content.
    pub fn is_head(&self) -> bool {
        self.bytes.starts_with(b"HEAD ")
    }
}

struct Table(Vec<Row>);

impl Table {
    /// A head that the parser accepts.
    fn accepted(&mut self, rule: &'static str, bytes: &[u8], status: u16, persists: bool) {
        self.0.push(Row {
            rule,
            bytes: bytes.to_vec(),
            status,
            is_valid: true,
            persists,
        });
    }

    /// A head that the parser refuses. The connection never persists after it.
    fn refused(&mut self, rule: &'static str, bytes: &[u8], status: u16) {
        self.0.push(Row {
            rule,
            bytes: bytes.to_vec(),
            status,
            is_valid: false,
            persists: false,
        });
    }
}

/// A request that may follow every row.
pub const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n";

/// All rows.
#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    let mut heads = Table(Vec::new());
    // A whole request that is right but for what stands in the middle.
    let line = |line: &str| format!("{line}\r\nHost: x\r\n\r\n").into_bytes();
    let field = |field: &str| format!("GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n").into_bytes();
    let host = |host: &str| format!("GET / HTTP/1.1\r\nHost:{host}\r\n\r\n").into_bytes();
    let old = |fields: &str| format!("GET / HTTP/1.0\r\n{fields}\r\n").into_bytes();

    heads.accepted("9112 2.2: lines end in CR LF", &field("A: b"), 200, true);
    heads.refused("9112 2.2: a lone LF ends no request line", b"GET / HTTP/1.1\nHost: x\r\n\r\n", 400);
    heads.refused("9112 2.2: a lone LF ends no field line", b"GET / HTTP/1.1\r\nHost: x\n\r\n", 400);
    heads.refused("9112 2.2: a lone LF ends no head", b"GET / HTTP/1.1\r\nHost: x\r\n\n", 400);
    heads.refused("9112 2.2: a bare CR ends no request line", b"GET / HTTP/1.1\rHost: x\r\n\r\n", 400);
    heads.refused("9112 2.2: a bare CR ends no field line", b"GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", 400);
    heads.refused("9112 2.2: a bare CR ends no head", b"GET / HTTP/1.1\r\nHost: x\r\n\rA: b\r\n\r\n", 400);
    heads.accepted("9112 2.2: empty lines before a request are ignored", b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 200, true);
    heads.refused("9112 2.2: an empty line of LF alone is none", b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    heads.refused("9112 2.2: a CR before a request is none", b"\rGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    heads.refused("9112 2.2: empty lines count for the limit of the head", &b"\r\n".repeat(8192), 431);

    heads.refused("9112 3: one space after the method", &line("GET  / HTTP/1.1"), 400);
    heads.refused("9112 3: one space after the target", &line("GET /  HTTP/1.1"), 400);
    heads.refused("9112 3: no space after the version", &line("GET / HTTP/1.1 "), 400);
    heads.refused("9112 3: no space before the method", &line(" GET / HTTP/1.1"), 400);
    heads.refused("9112 3: no tab for a space", &line("GET\t/ HTTP/1.1"), 400);
    heads.refused("9112 3: no request without a method", &line("/ HTTP/1.1"), 400);
    heads.refused("9112 3: no request without a target", &line("GET HTTP/1.1"), 400);
    heads.refused("9112 3: no request without a version", &line("GET /"), 400);
    heads.refused("9112 3: nothing but a method", &line("GET"), 400);

    heads.accepted("9112 3.2.1: origin form", &line("GET /page?of=1 HTTP/1.1"), 200, true);
    heads.accepted("9112 3.2.2: absolute form", &line("GET http://x:3000/page?of=1 HTTP/1.1"), 200, true);
    heads.accepted("9112 3.2.2: absolute form, its path decides", &line("HEAD http://x/events HTTP/1.1"), 200, true);
    heads.accepted("9112 3.2.2: absolute form without a path", &line("GET HTTP://x HTTP/1.1"), 200, true);
    heads.accepted("9112 3.2.2: absolute form with a query and no path", &line("GET http://[::1]:3000?a HTTP/1.1"), 200, true);
    heads.refused("9110 4.2.1: an absolute form without a host", &line("GET http:///page HTTP/1.1"), 400);
    heads.refused("9110 4.2.1: an absolute form with a port and no host", &line("GET http://:80/page HTTP/1.1"), 400);
    heads.refused("9110 7.4: an absolute form of https, over plain TCP", &line("GET https://x/ HTTP/1.1"), 400);
    heads.refused("9110 4.2.4: an absolute form with user information", &line("GET http://me@x/ HTTP/1.1"), 400);
    heads.refused("9112 3.2.2: an absolute form that is not http", &line("GET ftp://x/ HTTP/1.1"), 400);
    heads.refused("9112 3.2.3: authority form is for CONNECT, which is not done here", &line("CONNECT x:80 HTTP/1.1"), 400);
    heads.refused("9112 3.2.3: authority form is not for GET", &line("GET x:80 HTTP/1.1"), 400);
    heads.accepted("9112 3.2.4: asterisk form is for OPTIONS", &line("OPTIONS * HTTP/1.1"), 204, true);
    heads.refused("9112 3.2.4: asterisk form is not for GET", &line("GET * HTTP/1.1"), 400);

    heads.accepted("9112 3.2: every visible byte but #", &line("GET /!\"$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~ HTTP/1.1"), 200, true);
    heads.refused("9112 3.2: no # in a target", &line("GET /#top HTTP/1.1"), 400);
    heads.refused("9112 3.2: no control in a target", &line("GET /\u{1} HTTP/1.1"), 400);
    heads.refused("9112 3.2: no DEL in a target", &line("GET /\u{7f} HTTP/1.1"), 400);
    heads.refused("9112 3.2: no NUL in a target", &line("GET /\0 HTTP/1.1"), 400);
    heads.refused("9112 3.2: no byte from 0x80 in a target", &line("GET /é HTTP/1.1"), 400);
    let target = |length: usize| line(&format!("GET /{} HTTP/1.1", "a".repeat(length - 1)));
    heads.accepted("9112 3: a target of 8192 bytes", &target(8192), 200, true);
    heads.refused("9112 3: a target of 8193 bytes", &target(8193), 414);
    heads.refused("9112 3: an endless target", &[b"GET /".as_slice(), &[b'a'; 20_000]].concat(), 414);

    heads.accepted("9112 2.3: HTTP/1.1", &line("GET / HTTP/1.1"), 200, true);
    heads.accepted("9110 2.5: a higher minor version is 1.1", &line("GET / HTTP/1.9"), 200, true);
    heads.refused("9110 2.5: a higher major version", &line("GET / HTTP/2.0"), 505);
    heads.refused("9110 2.5: a lower major version", &line("GET / HTTP/0.9"), 505);
    heads.refused("9112 2.3: versions are case-sensitive", &line("GET / http/1.1"), 400);
    heads.refused("9112 2.3: a version has a minor", &line("GET / HTTP/1"), 400);
    heads.refused("9112 2.3: a version has one digit on each side", &line("GET / HTTP/1.10"), 400);
    heads.refused("9112 2.3: a version is of HTTP", &line("GET / HTCP/1.1"), 400);

    heads.accepted("9112 5: whitespace around a value is optional", &field("A:b\r\nC: \t d \t"), 200, true);
    heads.accepted("9112 5: a value may be empty", &field("A:\r\nB: "), 200, true);
    heads.accepted("9110 5.6.2: every byte of a token", &field("!#$%&'*+-.^_`|~09AZaz: b"), 200, true);
    heads.refused("9112 5.1: no space before the colon", &field("A : b"), 400);
    heads.refused("9112 5.1: no tab before the colon", &field("A\t: b"), 400);
    heads.refused("9112 5: no field line without a name", &field(": b"), 400);
    heads.refused("9112 5: no field line without a colon", &field("A"), 400);
    heads.refused("9110 5.1: a name is a token", &field("A(: b"), 400);
    heads.refused("9110 5.1: a name is ASCII", &field("É: b"), 400);
    heads.accepted("9110 5.5: visible bytes, space, tab and bytes from 0x80", &field("A: \" b\tc é"), 200, true);
    heads.refused("9110 5.5: no NUL in a value", &field("A: b\0"), 400);
    heads.refused("9110 5.5: no control in a value", &field("A: b\u{1b}"), 400);
    heads.refused("9110 5.5: no DEL in a value", &field("A: this one is longer than a block\u{7f}"), 400);
    heads.refused("9112 5.2: no folded line", &field("A: b\r\n c"), 400);
    heads.refused("9112 5.2: no line folded by a tab", &field("A: b\r\n\tc"), 400);
    heads.refused("9112 2.2: no space before the first field", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400);

    heads.accepted("9112 3.2: a name and a port", &host(" localhost:3000"), 200, true);
    heads.accepted("9112 3.2: an empty Host", &host(""), 200, true);
    heads.refused("9110 4.2.1: a port without a host", &host(" :80"), 400);
    heads.refused("9110 4.2.1: a colon without a host", &host(" :"), 400);
    heads.accepted("9112 3.2: an address", &host(" 127.0.0.1"), 200, true);
    heads.accepted("9112 3.2: an address of IPv6 and a port", &host(" [::1]:3000"), 200, true);
    heads.accepted("9110 7.2: an empty port", &host(" x:"), 200, true);
    heads.accepted("9110 5.1: names of fields in any case", b"GET / HTTP/1.1\r\nhOST: x\r\n\r\n", 200, true);
    heads.refused("9112 3.2: no Host in HTTP/1.1", b"GET / HTTP/1.1\r\n\r\n", 400);
    heads.refused("9112 3.2: two Host fields", &field("Host: x"), 400);
    heads.accepted("9112 3.2: no Host in HTTP/1.0", &old(""), 200, false);
    heads.refused("9112 3.2: two Host fields in HTTP/1.0", &old("Host: x\r\nHost: x\r\n"), 400);
    heads.refused("9112 3.2: a space in Host", &host(" x y"), 400);
    heads.refused("9112 3.2: a comma in Host", &host(" x,y"), 400);
    heads.refused("9112 3.2: a slash in Host", &host(" x/y"), 400);
    heads.refused("9112 3.2: an @ in Host", &host(" x@y"), 400);
    heads.refused("9112 3.2: a port that is no number", &host(" x:http"), 400);
    heads.refused("9112 3.2: a bracket that is never closed", &host(" [::1"), 400);
    heads.refused("9112 3.2: bytes behind the bracket", &host(" [::1]x"), 400);

    for wrong in ["%", "%zz", "%4z", "%z4", "x%4", "[:]", "[v1.x]", "[1.2.3.4]", "[]", "[::1%eth0]", "[::%31]"] {
        heads.refused("3986 3.2.2: no host", &host(&format!(" {wrong}")), 400);
    }
    for right in ["a%20b", "[::ffff:1.2.3.4]", "%C3%A9.example", "[::]"] {
        heads.accepted("3986 3.2.2: a host", &host(&format!(" {right}")), 200, true);
    }

    let fields = |count: usize| field(&vec!["A: b"; count - 1].join("\r\n"));
    heads.accepted("9110 5.4: 100 field lines", &fields(100), 200, true);
    heads.refused("9110 5.4: 101 field lines", &fields(101), 431);
    // The request around the value is 32 bytes long.
    let head = |length: usize| field(&format!("A: {}", "b".repeat(length - 32)));
    assert_eq!(head(16_384).len(), 16_384);
    heads.accepted("9110 5.4: a head of 16384 bytes", &head(16_384), 200, true);
    heads.refused("9110 5.4: a head of 16385 bytes", &head(16_385), 431);
    heads.refused("9110 5.4: an endless value", &head(40_000), 431);
    heads.refused("9110 5.4: an endless name", &field(&"a".repeat(40_000)), 431);

    heads.accepted("9112 6.2: no content", &field("Content-Length: 0"), 200, true);
    heads.accepted("9112 6.2: content is not read as a request", &[&field("Content-Length: 34")[..], NEXT].concat(), 200, false);
    heads.accepted("9112 6.3: Content-Length, twice the same", &field("Content-Length: 0\r\nContent-Length: 0"), 200, true);
    heads.refused("9112 6.3: Content-Length, differing", &field("Content-Length: 0\r\nContent-Length: 5"), 400);
    heads.refused("9112 6.3: Content-Length, a list", &field("Content-Length: 5, 5"), 400);
    heads.refused("9112 6.2: Content-Length, signed", &field("Content-Length: +5"), 400);
    heads.refused("9112 6.2: Content-Length, negative", &field("Content-Length: -5"), 400);
    heads.refused("9112 6.2: Content-Length, hexadecimal", &field("Content-Length: 0x5"), 400);
    heads.refused("9112 6.2: Content-Length, empty", &field("Content-Length:"), 400);
    heads.accepted("9112 6.2: Content-Length, the greatest", &field("Content-Length: 18446744073709551615"), 200, false);
    heads.refused("9112 6.2: Content-Length, overflowing", &field("Content-Length: 18446744073709551616"), 400);
    heads.accepted("9112 6.1: chunked content", &[&field("Transfer-Encoding: Chunked")[..], b"5\r\nhello\r\n0\r\n\r\n"].concat(), 200, false);
    heads.refused("9112 6.1: another coding before chunked", &field("Transfer-Encoding: gzip, chunked"), 501);
    heads.refused("9112 6.1: content is chunked once", &field("Transfer-Encoding: chunked, chunked"), 400);
    heads.refused("9112 6.1: content is chunked once, over two lines", &field("Transfer-Encoding: chunked, gzip\r\nTransfer-Encoding: chunked"), 400);
    for coding in [" gzip", " identity", " chunked, gzip", " chunked, identity", " chunked\r\nTransfer-Encoding: gzip", "", " ,"] {
        heads.refused("9112 6.3: a final transfer coding that is not chunked", &field(&format!("Transfer-Encoding:{coding}")), 400);
    }
    heads.refused("9112 6.1: Transfer-Encoding in HTTP/1.0", &old("Transfer-Encoding: chunked\r\n"), 400);
    heads.refused("9112 6.3: Content-Length before Transfer-Encoding", &[&field("Content-Length: 34\r\nTransfer-Encoding: chunked")[..], NEXT].concat(), 400);
    heads.refused("9112 6.3: Transfer-Encoding before Content-Length", &[&field("Transfer-Encoding: chunked\r\nContent-Length: 0")[..], NEXT].concat(), 400);

    heads.accepted("9112 9.3: 1.1 closes at close", &field("Connection: close"), 200, false);
    heads.accepted("9110 7.6.1: options are case-insensitive", &field("Connection: CLOSE"), 200, false);
    heads.accepted("9110 7.6.1: options are a list", &field("Connection: a, , close ,b"), 200, false);
    heads.accepted("9110 7.6.1: options are of all lines", &field("Connection: a\r\nConnection: close"), 200, false);
    heads.accepted("9110 7.6.1: options are whole words", &field("Connection: closed, not-close"), 200, true);
    heads.accepted("9112 9.3: 1.1 persists", &field("Connection: keep-alive"), 200, true);
    heads.accepted("9112 9.3: close wins", &field("Connection: close, keep-alive"), 200, false);
    heads.accepted("9112 9.3: 1.0 closes", &old("Host: x\r\n"), 200, false);
    heads.accepted("9112 9.3: 1.0 persists at keep-alive", &old("Connection: Keep-Alive\r\n"), 200, true);
    heads.accepted("9112 9.3: 1.0 closes at both", &old("Connection: keep-alive, close\r\n"), 200, false);

    heads.accepted("9110 9.1: an unknown method", &line("BREW / HTTP/1.1"), 501, true);
    heads.accepted("9110 9.1: methods are case-sensitive", &line("get / HTTP/1.1"), 501, true);
    heads.refused("9112 3: an endless method, longer than any", &[b'A'; 40_000], 501);
    for method in ["POST", "PUT", "DELETE", "PATCH", "CONNECT", "TRACE"] {
        heads.accepted("9110 15.5.6: a method that is not allowed", &line(&format!("{method} / HTTP/1.1")), 405, true);
    }
    heads.accepted("9110 15.5.6: a method that is not allowed, with content", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 405, false);
    heads.accepted("9110 9.3.7: OPTIONS tells what is allowed", &line("OPTIONS / HTTP/1.1"), 204, true);
    heads.accepted("9110 9.3.7: OPTIONS of the stream", &line("OPTIONS /events HTTP/1.1"), 204, true);
    heads.accepted("9110 9.3.2: HEAD has no content", &line("HEAD / HTTP/1.1"), 200, true);
    heads.accepted("9110 9.3.2: HEAD of the stream", &line("HEAD /events HTTP/1.1"), 200, true);
    heads.accepted("9110 10.1.1: Expect is answered with the final status", &field("Expect: 100-continue\r\nContent-Length: 5"), 200, false);

    heads.refused("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400);
    heads.refused("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400);
    heads.refused("noise", &(0..=255).rev().collect::<Vec<u8>>(), 400);
    heads.0
}
