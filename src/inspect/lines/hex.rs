//! Events with their payloads in hexadecimal.

use crate::event::EventView;
use crate::inspect::TextStyles;
use crate::inspect::lines::text::push_head;
use crate::inspect::notation::push_hex_dump;

/// Adds an event to `text`: a line as [`text_line`](crate::inspect::text_line) makes it, without the
/// payload, then the payload as [`push_hex_dump`] shows it. Ends with a line feed.
pub fn push_hex_event(text: &mut String, event: EventView<'_>, styles: &TextStyles) {
    push_head(text, event, styles);
    text.push('\n');
    push_hex_dump(text, event.payload());
}
