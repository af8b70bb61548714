//! Objects of JSON, written field by field at the end of a line.
//!
//! Owns how keys and values are written. Which fields there are is for those who write them.

use std::fmt::{Display, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::inspect::notation::push_escaped;
use crate::types::Timestamp;

/// The version of the lines: the first field, `v`, of each. A later version may mean something else
/// by a field, or lack one.
pub(crate) const LINE_VERSION: u64 = 1;

/// A value in quotes. It must be written without quotes, backslashes and control characters.
pub(in crate::inspect) struct Quoted<T>(pub(in crate::inspect) T);

impl<T: Display> Display for Quoted<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// An object that is being written at the end of a line.
pub(crate) struct Object<'a> {
    line: &'a mut String,
    is_empty: bool,
}

impl<'a> Object<'a> {
    /// Begins an object.
    pub(crate) fn new(line: &'a mut String) -> Self {
        line.push('{');
        Self { line, is_empty: true }
    }

    /// Begins an object whose first field says by which version of `docs/dump.md` it is written.
    pub(crate) fn versioned(line: &'a mut String) -> Self {
        let mut object = Self::new(line);
        object.number("v", LINE_VERSION);
        object
    }

    /// Goes on with an object that is not empty and not ended.
    pub(in crate::inspect) fn going_on(line: &'a mut String) -> Self {
        Self { line, is_empty: false }
    }

    #[inline]
    fn key(&mut self, key: &str) {
        if !self.is_empty {
            self.line.push(',');
        }
        self.is_empty = false;
        self.line.push('"');
        self.line.push_str(key);
        self.line.push_str("\":");
    }

    /// Adds a value that is written as JSON.
    pub(crate) fn value(&mut self, key: &str, value: impl Display) {
        self.key(key);
        let _ = write!(self.line, "{value}");
    }

    /// Adds text that is JSON.
    pub(crate) fn raw(&mut self, key: &str, json: &str) {
        self.key(key);
        self.line.push_str(json);
    }

    /// The same for a key that may have anything in it.
    pub(crate) fn named_raw(&mut self, key: &str, json: &str) {
        if !self.is_empty {
            self.line.push(',');
        }
        self.is_empty = false;
        push_string(self.line, key);
        self.line.push(':');
        self.line.push_str(json);
    }

    /// Adds JSON that may have line breaks and control characters.
    pub(crate) fn json(&mut self, key: &str, json: &str) {
        self.key(key);
        // Outside of strings there are no others.
        push_escaped(self.line, json, is_hidden, |line, c| match c {
            '\n' | '\r' | '\t' => line.push(' '),
            other => push_escape(line, other),
        });
    }

    pub(crate) fn number(&mut self, key: &str, number: u64) {
        self.raw(key, itoa::Buffer::new().format(number));
    }

    /// Adds text without quotes, backslashes and control characters.
    pub(crate) fn plain(&mut self, key: &str, text: &str) {
        self.key(key);
        self.line.push('"');
        self.line.push_str(text);
        self.line.push('"');
    }

    pub(crate) fn string(&mut self, key: &str, text: &str) {
        self.key(key);
        push_string(self.line, text);
    }

    pub(crate) fn strings<'t>(&mut self, key: &str, texts: impl Iterator<Item = &'t str>) {
        self.key(key);
        self.line.push('[');
        for (n, text) in texts.enumerate() {
            if n > 0 {
                self.line.push(',');
            }
            push_string(self.line, text);
        }
        self.line.push(']');
    }

    pub(crate) fn time(&mut self, key: &str, time: Option<Timestamp>) {
        match time {
            Some(time) => {
                self.key(key);
                self.line.push('"');
                time.push_to(self.line);
                self.line.push('"');
            }
            None => self.raw(key, "null"),
        }
    }

    /// Adds bytes as the field `<key>_base64`.
    pub(crate) fn base64(&mut self, key: &str, bytes: &[u8]) {
        self.key(&format!("{key}_base64"));
        self.line.push('"');
        STANDARD.encode_string(bytes, self.line);
        self.line.push('"');
    }

    pub(crate) fn string_or_base64(&mut self, key: &str, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.string(key, text),
            Err(_) => self.base64(key, bytes),
        }
    }

    pub(crate) fn finish(self) {
        self.line.push('}');
    }
}

fn push_string(line: &mut String, text: &str) {
    line.push('"');
    push_escaped(line, text, |c| is_hidden(c) || matches!(c, '"' | '\\'), push_escape);
    line.push('"');
}

/// What some take for the end of a line or a command to a terminal.
pub(in crate::inspect) fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

fn push_escape(line: &mut String, c: char) {
    match c {
        '"' => line.push_str("\\\""),
        '\\' => line.push_str("\\\\"),
        '\n' => line.push_str("\\n"),
        '\r' => line.push_str("\\r"),
        '\t' => line.push_str("\\t"),
        other => {
            let _ = write!(line, "\\u{:04x}", u32::from(other));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(text: &str) -> String {
        let mut line = String::new();
        push_string(&mut line, text);
        line
    }

    #[test]
    fn what_could_end_a_line_or_a_string_is_escaped() {
        let text = "a\"\\\n\r\t\u{8}\u{1b}\u{7f}\u{9b}\u{2028}購é";
        let expected = r#""a\"\\\n\r\t\u0008\u001b\u007f\u009b\u2028購é""#;
        assert_eq!(string(text), expected);
    }

    proptest! {
        #[test]
        fn every_string_reads_back_as_it_was(text in any::<String>()) {
            let line = string(&text);
            prop_assert!(!line.contains(char::is_control));
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
    }
}
