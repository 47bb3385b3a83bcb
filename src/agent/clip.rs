//! The bound of a text that others wrote: an error of a tool, of an agent, of an upstream.

/// Cuts a text to at most `bytes_max` bytes and marks the cut.
pub(crate) fn clipped(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}
