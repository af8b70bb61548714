//! Text in which some characters must not stand as they are.

/// Adds `text` to `line`, and has `push` add each character that `is_special`.
pub(super) fn push_escaped(
    line: &mut String,
    text: &str,
    is_special: impl Fn(char) -> bool,
    push: impl Fn(&mut String, char),
) {
    let mut rest = text;
    while let Some(at) = rest.find(&is_special) {
        let (plain, special) = rest.split_at(at);
        line.push_str(plain);
        let mut chars = special.chars();
        if let Some(c) = chars.next() {
            push(line, c);
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
