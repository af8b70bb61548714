//! Text in which some characters must not stand as they are.

/// Adds `text` to `line`, and has `push` add each character that `is_special`.
pub(super) fn push_escaped(
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
