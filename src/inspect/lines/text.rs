//! Events as text, for people: one line each. Not made to be parsed.

use std::fmt::{Display, Write as _};

use crate::event::{ContentType, Event, EventView};
use crate::inspect::notation::{is_unprintable, push_text};

/// The most characters of a payload that are shown.
const CHARS_MAX: usize = 100;
/// No more bytes than this need be looked at for so many characters.
const SHOWN_LEN_MAX: usize = CHARS_MAX * 4;
/// The most bytes that are shown of a payload that is no text.
const HEX_LEN_MAX: usize = 16;

/// What is written around the parts of a line, so that a terminal shows them in colours.
///
/// By default nothing. The caller chooses what, so that no feature is needed; the charts of the feature `cli`
/// choose their colours, and `Paint` only says whether they have any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextStyles {
    place: String,
    stream: String,
    event_type: String,
    reset: String,
}

impl TextStyles {
    /// What to write before the position and the recorded time.
    #[must_use]
    pub fn place(self, start: impl Display) -> Self {
        Self { place: start.to_string(), ..self }
    }

    /// What to write before the stream and the revision.
    #[must_use]
    pub fn stream(self, start: impl Display) -> Self {
        Self { stream: start.to_string(), ..self }
    }

    /// What to write before the type.
    #[must_use]
    pub fn event_type(self, start: impl Display) -> Self {
        Self { event_type: start.to_string(), ..self }
    }

    /// What to write after each of those.
    #[must_use]
    pub fn reset(self, end: impl Display) -> Self {
        Self { reset: end.to_string(), ..self }
    }
}

/// An event as one line of text for people, without a line feed: position, recorded time, stream
/// and revision, type, tags in brackets if there are any, and the payload.
///
/// Control characters, and those that change the direction of text, are escaped. A payload that is
/// no text is shown in hexadecimal. A long one is cut, and its length given.
#[must_use]
pub fn text_line(event: &Event) -> String {
    let mut line = String::new();
    push_text_line(&mut line, event.view(), &TextStyles::default());
    line
}

/// Adds to `line` what [`text_line`] returns, with `styles`. Allocates nothing if there is room.
pub fn push_text_line(line: &mut String, event: EventView<'_>, styles: &TextStyles) {
    push_head(line, event, styles);
    if !event.payload().is_empty() {
        line.push_str("  ");
        push_payload(line, event.content_type(), event.payload());
    }
}

/// Adds all that stands in a line before the payload.
pub(super) fn push_head(line: &mut String, event: EventView<'_>, styles: &TextStyles) {
    let TextStyles { place, stream, event_type, reset } = styles;
    let _ = write!(line, "{place}{}  ", event.position());
    event.recorded_at().push_to(line);
    let _ = write!(line, "{reset}  {stream}");
    push_text(line, event.stream());
    let _ = write!(line, "@{}{reset}  ", event.revision());
    line.push_str(event_type);
    push_text(line, event.event_type());
    line.push_str(reset);
    let mut opening = "  [";
    for tag in event.tags() {
        line.push_str(opening);
        push_text(line, tag);
        opening = ", ";
    }
    if opening == ", " {
        line.push(']');
    }
}

fn push_payload(line: &mut String, content_type: ContentType, payload: &[u8]) {
    match text_of(content_type, payload) {
        Some(text) => {
            let end = text.char_indices().nth(CHARS_MAX).map_or(text.len(), |(at, _)| at);
            let shown = text.get(..end).unwrap_or(text);
            match content_type {
                ContentType::Json => push_on_one_line(line, shown),
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

/// Adds JSON without its line breaks and what indents its lines. In strings there are none.
fn push_on_one_line(line: &mut String, json: &str) {
    let parts = json.split(['\n', '\r']).map(|part| part.trim_matches([' ', '\t']));
    for (n, part) in parts.filter(|part| !part.is_empty()).enumerate() {
        if n > 0 {
            line.push(' ');
        }
        push_text(line, part);
    }
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
