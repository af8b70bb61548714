//! Text in which some characters must not stand as they are.
//!
//! Owns what could do something to a terminal.

/// Adds `text` to `line`, and has `push` add each character that `is_special`.
pub(in crate::inspect) fn push_escaped(
    line: &mut String,
    text: &str,
    is_special: impl Fn(char) -> bool,
    push: impl Fn(&mut String, char),
) {
    // Most text is ASCII without anything special, and is looked at byte by byte.
    let is_plain = |byte: &u8| byte.is_ascii() && !is_special(char::from(*byte));
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !is_plain(&byte)) {
        let (plain, other) = rest.split_at_checked(at).unwrap_or((rest, ""));
        line.push_str(plain);
        let mut chars = other.chars();
        match chars.next() {
            Some(c) if is_special(c) => push(line, c),
            Some(c) => line.push(c),
            None => {}
        }
        rest = chars.as_str();
    }
    line.push_str(rest);
}

/// `text` with every character escaped that could do something to a terminal: control characters, those
/// that end lines, and those that turn the direction of writing, as `\u{1b}`.
#[must_use]
pub fn escaped_text(text: &str) -> String {
    escaped(text)
}

/// `text` with every character escaped that could do something to a terminal.
pub(in crate::inspect) fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    push_text(&mut line, text);
    line
}

pub(in crate::inspect) fn push_text(line: &mut String, text: &str) {
    // Most texts are plain, which their bytes tell sooner than their characters.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return line.push_str(text);
    }
    push_escaped(line, text, is_unprintable, |line, c| line.extend(c.escape_default()));
}

/// Adds text over several lines, each with a line feed. Tabs stay; what else is unprintable is escaped.
pub(in crate::inspect) fn push_lines(text: &mut String, lines: &str) {
    for line in lines.lines() {
        let is_special = |c| c != '\t' && is_unprintable(c);
        push_escaped(text, line, is_special, |text, c| text.extend(c.escape_default()));
        text.push('\n');
    }
}

/// Control characters, separators of lines, and marks that change the direction of text.
pub(in crate::inspect) fn is_unprintable(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_special_characters_are_changed() {
        let escaped = |text| {
            let mut line = String::from("> ");
            push_escaped(&mut line, text, |c| c == 'é', |line, _| line.push_str("<e>"));
            line
        };
        assert_eq!(escaped(""), "> ");
        assert_eq!(escaped("été à Yaoundé"), "> <e>t<e> à Yaound<e>");
    }
}
