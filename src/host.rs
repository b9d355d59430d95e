//! The value of Host: a host name or an address, and a port.

use std::net::Ipv6Addr;

/// Whether this is `uri-host [ ":" port ]`, as in Host, where it may be empty (RFC 9110 7.2).
pub(crate) fn is_host(value: &[u8]) -> bool {
    let Ok(value) = str::from_utf8(value) else {
        return false;
    };
    let in_brackets = value
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'));
    let (is_valid, port) = match in_brackets {
        Some((literal, port)) => (is_ip_literal(literal), port),
        None => {
            let (name, port) = value.split_at(value.find(':').unwrap_or(value.len()));
            (is_registered_name(name.as_bytes()), port)
        }
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    is_valid && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// Whether this is a host that is not empty, and a port, as in an `http` URI (RFC 9110 4.2.1).
pub(crate) fn is_authority(value: &[u8]) -> bool {
    !matches!(value, [] | [b':', ..]) && is_host(value)
}

/// What stands in the brackets of an `IP-literal`: an IPv6 address, or
/// `IPvFuture = "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" )` (RFC 3986 3.2.2).
fn is_ip_literal(literal: &str) -> bool {
    let future = literal.strip_prefix(['v', 'V']);
    match future.and_then(|rest| rest.split_once('.')) {
        None => literal.parse::<Ipv6Addr>().is_ok(),
        Some((version, address)) => {
            let is_version = version.bytes().all(|byte| byte.is_ascii_hexdigit());
            let is_address = address.bytes().all(|byte| is_name(byte) || byte == b':');
            is_version && is_address && !version.is_empty() && !address.is_empty()
        }
    }
}

/// `reg-name = *( unreserved / pct-encoded / sub-delims )` (RFC 3986 3.2.2). A comma is refused,
/// although a name could have one: it would be two Host fields joined (RFC 9110 5.3).
fn is_registered_name(mut name: &[u8]) -> bool {
    loop {
        name = match name {
            [] => return true,
            [b'%', a, b, rest @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => rest,
            [byte, rest @ ..] if is_name(*byte) => rest,
            _ => return false,
        }
    }
}

/// `unreserved / sub-delims` (RFC 3986 2.3 and 2.2), without the comma.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte)
}
