//! A host and a port, as they stand in a URI, in Host and on the command line.

use std::net::Ipv6Addr;

/// Whether this is `uri-host [ ":" port ]` with a host that is not empty (RFC 9110 4.2.1). What stands
/// in brackets is an IPv6 address (RFC 3986 3.2.2).
pub(crate) fn is_authority(value: &[u8]) -> bool {
    let Ok(value) = str::from_utf8(value) else {
        return false;
    };
    let bracket = value.strip_prefix('[');
    let (is_valid, port) = match bracket.and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (name, port) = value.split_at(value.find(':').unwrap_or(value.len()));
            let is_named = !name.is_empty() && is_registered_name(name.as_bytes());
            (is_named, port)
        }
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    is_valid && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
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
