//! Tables of text for people.

/// To which side of its column a cell goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inspect) enum Align {
    Left,
    Right,
}

/// A header of names, then the rows, each with a line feed. Columns are two spaces apart.
///
/// Cells must be ASCII, but for the last column.
pub(in crate::inspect) fn table<const N: usize>(
    columns: [(&str, Align); N],
    rows: &[[String; N]],
) -> String {
    let mut widths = columns.map(|(name, _)| name.len());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let aligns = columns.map(|(_, align)| align);
    let mut lines = line(aligns, widths, columns.map(|(name, _)| name));
    for row in rows {
        lines += &line(aligns, widths, row.each_ref().map(String::as_str));
    }
    lines
}

fn line<const N: usize>(aligns: [Align; N], widths: [usize; N], cells: [&str; N]) -> String {
    let padded: Vec<_> = aligns
        .into_iter()
        .zip(widths)
        .zip(cells)
        .map(|((align, width), cell)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        })
        .collect();
    padded.join("  ").trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_nothing_trails() {
        let rows =
            [["7", "a", "x"], ["1234567", "bcd", "購物車"]].map(|row| row.map(str::to_owned));
        let columns = [("events", Align::Right), ("b", Align::Left), ("name", Align::Left)];
        let expected = [" events  b    name", "      7  a    x", "1234567  bcd  購物車", ""];
        assert_eq!(table(columns, &rows), expected.join("\n"));
    }

    #[test]
    fn a_table_without_rows_is_its_header() {
        assert_eq!(table([("a", Align::Right), ("b", Align::Left)], &[]), "a  b\n");
    }
}
