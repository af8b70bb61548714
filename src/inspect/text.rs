//! Events as text, for people: one line each. Not made to be parsed.

use std::fmt::Write as _;

use crate::event::{ContentType, Event};
use crate::inspect::escape::push_escaped;

/// The most characters of a payload that are shown.
const CHARS_MAX: usize = 100;
/// No more bytes than this need be looked at for so many characters.
const SHOWN_LEN_MAX: usize = CHARS_MAX * 4;
/// The most bytes that are shown of a payload that is no text.
const HEX_LEN_MAX: usize = 16;

/// An event as one line of text for people, without a line feed: position, recorded time, stream
/// and revision, type, tags in brackets if there are any, and the payload.
///
/// Control characters, and those that change the direction of text, are escaped. A payload that is
/// no text is shown in hexadecimal. A long one is cut, and its length given.
#[must_use]
pub fn text_line(event: &Event) -> String {
    let mut line = format!("{}  {}  ", event.position(), event.recorded_at());
    push_text(&mut line, event.stream());
    let _ = write!(line, "@{}  ", event.revision());
    push_text(&mut line, event.event_type());
    let tags: Vec<_> = event.tags().map(escaped).collect();
    if !tags.is_empty() {
        let _ = write!(line, "  [{}]", tags.join(", "));
    }
    if !event.payload().is_empty() {
        line.push_str("  ");
        push_payload(&mut line, event.content_type(), event.payload());
    }
    line
}

/// `text` with every character escaped that could do something to a terminal.
pub(super) fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    push_text(&mut line, text);
    line
}

fn push_text(line: &mut String, text: &str) {
    push_escaped(line, text, is_unprintable, |line, c| line.extend(c.escape_default()));
}

/// Control characters, separators of lines, and marks that change the direction of text.
fn is_unprintable(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

fn push_payload(line: &mut String, content_type: ContentType, payload: &[u8]) {
    match text_of(content_type, payload) {
        Some(text) => {
            let end = text.char_indices().nth(CHARS_MAX).map_or(text.len(), |(at, _)| at);
            let shown = text.get(..end).unwrap_or(text);
            match content_type {
                ContentType::Json => push_text(line, &on_one_line(shown)),
                _ => push_text(line, shown),
            }
            if shown.len() < payload.len() {
                let _ = write!(line, "… ({} bytes)", payload.len());
            }
        }
        None => push_hex(line, payload),
    }
}

/// The start of a payload, long enough to be shown, if it is text; any payload is that has nothing
/// in it but printable characters.
fn text_of(content_type: ContentType, payload: &[u8]) -> Option<&str> {
    let start = payload.get(..SHOWN_LEN_MAX).unwrap_or(payload);
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // Cut within a character, by us.
        Err(fault) if fault.error_len().is_none() && start.len() < payload.len() => {
            std::str::from_utf8(start.get(..fault.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let is_text = matches!(content_type, ContentType::Text | ContentType::Json);
    (is_text || !text.contains(is_unprintable)).then_some(text)
}

/// JSON without its line breaks and what indents its lines. In strings there are none.
fn on_one_line(json: &str) -> String {
    let lines = json.split(['\n', '\r']).map(|line| line.trim_matches([' ', '\t']));
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

fn push_hex(line: &mut String, payload: &[u8]) {
    line.push_str("0x");
    for byte in payload.iter().take(HEX_LEN_MAX) {
        let _ = write!(line, "{byte:02x}");
    }
    let ellipsis = if payload.len() > HEX_LEN_MAX { "…" } else { "" };
    let _ = write!(line, "{ellipsis} ({} bytes)", payload.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(content_type: ContentType, payload: impl AsRef<[u8]>) -> String {
        let mut line = String::new();
        push_payload(&mut line, content_type, payload.as_ref());
        line
    }

    #[test]
    fn control_characters_are_escaped_and_other_scripts_are_not() {
        let text = "購物車\u{1b}[31m\r\n\t\0\u{7f}\u{9b}\u{202e}é \\ \"";
        let expected = "購物車\\u{1b}[31m\\r\\n\\t\\u{0}\\u{7f}\\u{9b}\\u{202e}é \\ \"";
        assert_eq!(shown(ContentType::Text, text), expected);
    }

    #[test]
    fn a_long_payload_is_cut_between_characters_and_its_length_given() {
        let cut = format!("{}… (303 bytes)", "購".repeat(100));
        assert_eq!(shown(ContentType::Text, "購".repeat(101)), cut);
        assert_eq!(shown(ContentType::Text, "購".repeat(100)), "購".repeat(100));
        // 400 bytes end within the 134th character.
        let cut = format!("{}… (600 bytes)", "購".repeat(100));
        assert_eq!(shown(ContentType::Text, "購".repeat(200)), cut);
        let emoji = format!("{}… (408 bytes)", "🫖".repeat(100));
        assert_eq!(shown(ContentType::Text, "🫖".repeat(102)), emoji);
    }

    #[test]
    fn what_is_no_text_is_shown_in_hexadecimal() {
        assert_eq!(shown(ContentType::Bytes, [0, 255]), "0x00ff (2 bytes)");
        assert_eq!(shown(ContentType::Text, [b'a', 0xff]), "0x61ff (2 bytes)");
        let long = format!("0x{}… (17 bytes)", "01".repeat(16));
        assert_eq!(shown(ContentType::Bincode, [1; 17]), long);
        assert_eq!(shown(ContentType::Bytes, "plain words"), "plain words");
        assert_eq!(shown(ContentType::Bytes, "two\nlines"), "0x74776f0a6c696e6573 (9 bytes)");
    }

    #[test]
    fn json_over_several_lines_is_put_on_one() {
        let json = "{\n  \"a\": \"x  y\",\r\n\t\"b\": 1\n}";
        assert_eq!(shown(ContentType::Json, json), "{ \"a\": \"x  y\", \"b\": 1 }");
    }
}
