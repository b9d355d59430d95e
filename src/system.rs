//! What the system allows: how many connections its limits are enough for.

use std::fs;

/// How many files the server has open beside its connections, at most.
pub const OTHER_FILES: usize = 32;

/// How many memory mappings there are for each connection.
///
/// On Linux a thread takes four: its stack and its signal stack, and a guard page for each. When they
/// run out, a thread that starts ends the whole process. The fifth is a reserve, for threads whose slots
/// are free again while they end, and for all else.
const MAPPINGS: usize = 5;

/// How many connections there can be if `max_connections` are asked for: that many, or fewer if the
/// limit of open files is too low for them. With more slots than files, accept would fail
/// before any connection is asked to close.
///
/// # Errors
///
/// One line that names the system's setting to raise, and to what.
pub fn possible_connections(max_connections: usize) -> Result<usize, String> {
    // Only Linux has these files, and the first of the two limits.
    let setting = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    if let Ok(mappings) = setting.trim().parse::<usize>()
        && max_connections > mappings / MAPPINGS
    {
        let needed = max_connections.saturating_mul(MAPPINGS);
        let enough = mappings / MAPPINGS;
        return Err(format!(
            "--max-connections {max_connections} needs vm.max_map_count={needed}, which is \
             {mappings} here: raise it with sysctl, or allow {enough} connections at most"
        ));
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let mut lines = limits.lines();
    let files = lines.find_map(|line| line.strip_prefix("Max open files"));
    let files = files.and_then(|line| line.split_whitespace().next());
    Ok(match files.map(str::parse::<usize>) {
        Some(Ok(files)) => max_connections.min(files.saturating_sub(OTHER_FILES).max(1)),
        _ => max_connections,
    })
}
