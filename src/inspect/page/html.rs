//! HTML: what stands for what, and parts that a page is put together from.

use std::fmt::Write as _;

use crate::inspect::notation::{escaped, push_escaped};

/// `text` as it may stand between tags and in attributes. Control characters, and those that turn
/// the direction of writing, are escaped as they are for a terminal.
pub(super) fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    push_escaped(&mut html, &escaped(text), |c| "&<>\"'".contains(c), push_entity);
    html
}

fn push_entity(html: &mut String, c: char) {
    html.push_str(match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        _ => "&#39;",
    });
}

/// A name from the store: apart from the text around it, also if it is written from the right.
pub(super) fn name(text: &str) -> String {
    let text = escape(text);
    format!("<bdi class=\"name\" title=\"{text}\">{text}</bdi>")
}

/// A part of the page with a heading, and something in small print beside it.
pub(super) fn card(class: &str, heading: &str, aside: &str, body: &str) -> String {
    let mut html = format!("<section class=\"card {class}\">\n<header><h2>{heading}</h2>");
    if !aside.is_empty() {
        let _ = write!(html, "<p>{aside}</p>");
    }
    let _ = write!(html, "</header>\n{}\n</section>\n", body.trim_end());
    html
}

/// What stands in place of a chart or a table that has nothing to show.
pub(super) fn nothing(text: &str) -> String {
    format!("<p class=\"nothing\">{}</p>", escape(text))
}

/// To which side of its column a cell goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// A table whose first column names its rows. Cells are HTML.
pub(super) fn table<const N: usize>(
    class: &str,
    caption: &str,
    columns: [(&str, Side); N],
    rows: &[[String; N]],
) -> String {
    let side = |side| match side {
        Side::Left => "",
        Side::Right => " class=\"number\"",
    };
    // What does not fit into a narrow page is scrolled within it, also with the keyboard.
    let mut html = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\">\n\
         <table class=\"{class}\">\n<caption>{caption}</caption>\n<thead><tr>"
    );
    for (heading, of) in columns {
        let _ = write!(html, "<th scope=\"col\"{}>{heading}</th>", side(of));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for (n, (cell, (_, of))) in row.iter().zip(columns).enumerate() {
            let _ = match n {
                0 => write!(html, "<th scope=\"row\"{}>{cell}</th>", side(of)),
                _ => write!(html, "<td{}>{cell}</td>", side(of)),
            };
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n</div>");
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_becomes_a_tag_or_an_attribute() {
        let hostile = "<script>\"'&\u{202e}\0\n購物車";
        let expected = "&lt;script&gt;&quot;&#39;&amp;\\u{202e}\\u{0}\\n購物車";
        assert_eq!(escape(hostile), expected);
    }

    #[test]
    fn a_table_has_headers_for_columns_and_rows() {
        let columns = [("stream", Side::Left), ("events", Side::Right)];
        let html = table("names", "Streams", columns, &[["a".to_owned(), "1".to_owned()]]);
        assert!(html.contains("<th scope=\"col\">stream</th>"));
        assert!(html.contains("<th scope=\"row\">a</th><td class=\"number\">1</td>"));
    }
}
