//! Bytes in hexadecimal, sixteen a line.

use std::fmt::Write as _;

/// Bytes of a line.
const LINE_LEN: usize = 16;
/// Columns that they take.
const COLUMNS_LEN: usize = LINE_LEN * 3 + 1;

/// Adds `bytes` to `text` as `hexdump -Cv` shows them: lines of an offset, sixteen bytes, and the
/// printable ones of them as ASCII, each with a line feed, then the number of bytes. Adds nothing if
/// there are none.
pub fn push_hex_dump(text: &mut String, bytes: &[u8]) {
    for (n, line) in bytes.chunks(LINE_LEN).enumerate() {
        let _ = write!(text, "{:08x}  ", n * LINE_LEN);
        push_columns(text, line);
        text.push('\n');
    }
    if !bytes.is_empty() {
        let _ = writeln!(text, "{:08x}", bytes.len());
    }
}

/// Adds bytes, at most sixteen, and the printable ones of them as ASCII.
pub(in crate::inspect) fn push_columns(text: &mut String, bytes: &[u8]) {
    let mut column = 0;
    for (n, byte) in bytes.iter().enumerate() {
        let gap = if n == LINE_LEN / 2 { " " } else { "" };
        let _ = write!(text, "{gap}{byte:02x} ");
        column += gap.len() + 3;
    }
    text.extend(std::iter::repeat_n(' ', COLUMNS_LEN.saturating_sub(column)));
    text.push_str(" |");
    text.extend(bytes.iter().map(|byte| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '.',
    }));
    text.push('|');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(bytes: &[u8]) -> String {
        let mut text = String::new();
        push_hex_dump(&mut text, bytes);
        text
    }

    #[test]
    fn bytes_are_shown_as_hexdump_shows_them() {
        let bytes: Vec<_> = (0x16..0x31).chain([0x7e, 0x7f, 0xff]).collect();
        let expected = "\
00000000  16 17 18 19 1a 1b 1c 1d  1e 1f 20 21 22 23 24 25  |.......... !\"#$%|
00000010  26 27 28 29 2a 2b 2c 2d  2e 2f 30 7e 7f ff        |&'()*+,-./0~..|
0000001e
";
        assert_eq!(dump(&bytes), expected);
        let short = "00000000  61                                                |a|\n00000001\n";
        assert_eq!(dump(b"a"), short);
        assert_eq!(dump(b""), "");
    }
}
