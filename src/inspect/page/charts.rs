//! Charts as SVG that stands in a page.
//!
//! Owns shapes alone: what they are filled with is for the page's style, and what is written beside
//! them is HTML, so that a chart may be stretched to any width and its text stays as it is.

use std::fmt::Write as _;

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{PathElement, Rectangle};
use plotters::style::{Color, RGBColor};

use crate::inspect::notation::scaled;
use crate::inspect::page::html::escape;

/// Units from left to right of a chart of columns; all lengths of steps up to 60 divide it evenly,
/// or nearly so.
const COLUMNS_WIDTH: u32 = 1_440;
const COLUMNS_HEIGHT: u32 = 240;
/// The widest column, where there are few.
const COLUMN_WIDTH_MAX: u32 = 120;
const BAR_WIDTH: u32 = 1_000;
const BAR_HEIGHT: u32 = 8;
const STRIP_WIDTH: u32 = 10_000;
const STRIP_HEIGHT: u32 = 40;
/// Units that a part of a strip has at least, so that it can be seen.
const STRIP_PART_MIN: u32 = 30;
/// The most lines across a chart, but for the one it stands on.
const LINES_MAX: u64 = 4;

/// What a shape is drawn with: a class of the page's style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// Quantities.
    Bar,
    /// Lines to measure by.
    Line,
    /// Nothing to be seen, but there to be pointed at.
    Tip,
    /// What could not be read.
    Lost,
    Sealed,
    Full,
    Active,
}

impl Ink {
    const ALL: [Self; 7] =
        [Self::Bar, Self::Line, Self::Tip, Self::Sealed, Self::Full, Self::Active, Self::Lost];

    const fn class(self) -> &'static str {
        match self {
            Self::Bar => "bar",
            Self::Line => "line",
            Self::Tip => "tip",
            Self::Sealed => "sealed",
            Self::Full => "full",
            Self::Active => "active",
            Self::Lost => "lost",
        }
    }

    /// A colour that stands for the class while it is drawn.
    const fn sentinel(self) -> RGBColor {
        RGBColor(
            1,
            2,
            match self {
                Self::Bar => 1,
                Self::Line => 2,
                Self::Tip => 3,
                Self::Sealed => 4,
                Self::Full => 5,
                Self::Active => 6,
                Self::Lost => 7,
            },
        )
    }
}

/// One of the columns of a chart.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) value: u64,
    /// What is said of it where it is pointed at.
    pub(super) tip: String,
    /// What stands behind it, as high as the chart: something to point at, or a loss.
    pub(super) behind: Ink,
}

/// Columns, and the numbers that lines across them stand for.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) svg: String,
    /// How high each line is, in thousandths of the whole, and its number.
    pub(super) lines: Vec<(u32, u64)>,
}

/// A chart of columns side by side. `title` is what it says to whoever cannot see it.
pub(super) fn columns(columns: &[Column], title: &str) -> Columns {
    let most = columns.iter().map(|column| column.value).max().unwrap_or(0);
    let numbers = measures(most);
    let top = numbers.last().copied().unwrap_or(1);
    let count = u32::try_from(columns.len()).unwrap_or(u32::MAX).max(1);
    let edge = |n: u32| n * COLUMNS_WIDTH / count;
    let svg = draw((COLUMNS_WIDTH, COLUMNS_HEIGHT), |area| {
        for number in &numbers {
            let y = COLUMNS_HEIGHT - scaled(*number, top, COLUMNS_HEIGHT);
            line(area, y, COLUMNS_WIDTH);
        }
        for (n, column) in (0..).zip(columns) {
            let (left, right) = (edge(n), edge(n + 1));
            let room = right - left;
            let width = (room - room / 6).clamp(1, COLUMN_WIDTH_MAX);
            let start = left + (room - width) / 2;
            let height = scaled(column.value, top, COLUMNS_HEIGHT);
            let corners = [(start, COLUMNS_HEIGHT - height), (start + width, COLUMNS_HEIGHT)];
            if height > 0 {
                rectangle(area, corners, Ink::Bar);
            }
            rectangle(area, [(left, 0), (right, COLUMNS_HEIGHT)], column.behind);
        }
    });
    let tips = columns.iter().map(|column| column.tip.as_str());
    let svg = framed(&with_tips(&svg, tips), (COLUMNS_WIDTH, COLUMNS_HEIGHT), Some(title));
    let lines = numbers.iter().map(|number| (scaled(*number, top, 1_000), *number)).collect();
    Columns { svg, lines }
}

/// A bar from the left, as long as `part` is of `whole`. It says nothing that is not said beside it.
pub(super) fn bar(part: u64, whole: u64) -> String {
    let svg = draw((BAR_WIDTH, BAR_HEIGHT), |area| {
        let width = scaled(part, whole, BAR_WIDTH);
        if width > 0 {
            rectangle(area, [(0, 0), (width, BAR_HEIGHT)], Ink::Bar);
        }
    });
    framed(&svg, (BAR_WIDTH, BAR_HEIGHT), None)
}

/// Parts of a whole beside each other, each as long as it is large. Small ones are a little longer,
/// so that they can be seen.
pub(super) fn strip(parts: &[(u64, Ink, String)], title: &str) -> String {
    let whole: u64 = parts.iter().map(|(len, ..)| len).sum();
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX).max(1);
    let gap = if count > 200 { 0 } else { 12 };
    let least = STRIP_PART_MIN.min(STRIP_WIDTH / count);
    let room = STRIP_WIDTH - least * count.min(STRIP_WIDTH);
    let mut before = 0_u64;
    let mut left = 0;
    let svg = draw((STRIP_WIDTH, STRIP_HEIGHT), |area| {
        for (n, (len, ink, _)) in (1..).zip(parts) {
            before += len;
            let right = scaled(before, whole, room) + least * n;
            let end = if right > left + gap { right - gap } else { right };
            rectangle(area, [(left, 0), (end.max(left + 1), STRIP_HEIGHT)], *ink);
            left = right;
        }
    });
    let tips = parts.iter().map(|(_, _, tip)| tip.as_str());
    framed(&with_tips(&svg, tips), (STRIP_WIDTH, STRIP_HEIGHT), Some(title))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The shapes that `shapes` has drawn, one a line, with classes for colours.
fn draw(size: (u32, u32), shapes: impl FnOnce(&Area<'_>)) -> String {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        shapes(&area);
        // Nothing can go wrong with a text in memory, here and in what follows.
        let _ = area.present();
    }
    let mut drawn = String::new();
    // Without the element around them, which is the first line and the last.
    let is_shape = |line: &&str| line.starts_with('<') && line.ends_with("/>");
    for shape in svg.lines().filter(is_shape) {
        let mut shape = shape.replace(" opacity=\"1\"", "").replace(" stroke=\"none\"", "");
        for ink in Ink::ALL {
            let RGBColor(r, g, b) = ink.sentinel();
            for paint in ["fill", "stroke"] {
                let color = format!("{paint}=\"#{r:02X}{g:02X}{b:02X}\"");
                shape = shape.replace(&color, &format!("class=\"{}\"", ink.class()));
            }
        }
        drawn.extend([&shape, "\n"]);
    }
    drawn
}

fn rectangle(area: &Area<'_>, corners: [(u32, u32); 2], ink: Ink) {
    let corners = corners.map(|(x, y)| (pixel(x), pixel(y)));
    let _ = area.draw(&Rectangle::new(corners, ink.sentinel().filled()));
}

fn line(area: &Area<'_>, y: u32, width: u32) {
    let points = [(0, pixel(y)), (pixel(width), pixel(y))];
    let _ = area.draw(&PathElement::new(points, Ink::Line.sentinel()));
}

fn pixel(units: u32) -> i32 {
    i32::try_from(units).unwrap_or(i32::MAX)
}

/// Has each shape that may be pointed at say its own, in the order of `tips`: all rectangles but
/// those that others stand before.
fn with_tips<'a>(svg: &str, tips: impl Iterator<Item = &'a str>) -> String {
    let covered = format!("class=\"{}\"", Ink::Bar.class());
    let mut tips = tips;
    let mut told = String::new();
    for line in svg.lines() {
        let shape = line
            .strip_suffix("/>")
            .filter(|_| line.starts_with("<rect") && !line.contains(&covered));
        match shape.and_then(|shape| tips.next().map(|tip| (shape, tip))) {
            Some((shape, tip)) => {
                let _ = writeln!(told, "{shape}><title>{}</title></rect>", escape(tip));
            }
            None => told.extend([line, "\n"]),
        }
    }
    told
}

/// An image of shapes, which its place on the page stretches. Without a title it is not for those
/// who cannot see it.
fn framed(shapes: &str, (width, height): (u32, u32), title: Option<&str>) -> String {
    let start = format!("<svg viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\"");
    match title.map(escape) {
        Some(title) => format!(
            "{start} role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n{shapes}</svg>"
        ),
        None => format!("{start} aria-hidden=\"true\">{}</svg>", shapes.trim_end()),
    }
}

/// Round numbers at the same distance, from the first above 0 to one that is at least `most`.
fn measures(most: u64) -> Vec<u64> {
    let mut step = 1_u64;
    for factor in [2, 5, 10].iter().cycle() {
        if most.div_ceil(step) <= LINES_MAX {
            break;
        }
        // 1, 2, 5, 10, 20, 50 and so on: each from the last power of ten.
        step = match factor {
            2 => step.saturating_mul(2),
            5 => (step / 2).saturating_mul(5),
            _ => (step / 5).saturating_mul(10),
        };
    }
    (1..=most.div_ceil(step).max(1)).map(|n| step.saturating_mul(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(value: u64) -> Column {
        Column { value, tip: format!("<{value}>"), behind: Ink::Tip }
    }

    #[test]
    fn lines_are_at_round_numbers() {
        assert_eq!(measures(0), [1]);
        assert_eq!(measures(1), [1]);
        assert_eq!(measures(4), [1, 2, 3, 4]);
        assert_eq!(measures(5), [2, 4, 6]);
        assert_eq!(measures(87), [50, 100]);
        assert_eq!(measures(1_001), [500, 1_000, 1_500]);
        assert!(measures(u64::MAX).len() <= 5);
    }

    #[test]
    fn shapes_have_classes_and_no_colours() {
        let chart = columns(&[column(3), column(0), column(7)], "three & more");
        assert_eq!(chart.svg.matches("class=\"bar\"").count(), 2);
        assert_eq!(chart.svg.matches("<title>&lt;7&gt;</title></rect>").count(), 1);
        assert!(chart.svg.contains("aria-label=\"three &amp; more\""));
        assert_eq!(chart.lines, [(250, 2), (500, 4), (750, 6), (1_000, 8)]);
        let parts = [(10, Ink::Sealed, "a".to_owned()), (1, Ink::Active, "b".to_owned())];
        for svg in [chart.svg, bar(1, 2), strip(&parts, "parts")] {
            assert!(!svg.contains('#') && !svg.contains("http"), "{svg}");
        }
    }

    #[test]
    fn every_part_of_a_strip_is_there_and_has_a_width() {
        for count in [1, 7, 300, 9_999] {
            let parts = vec![(1_000_u64, Ink::Sealed, "segment".to_owned()); count];
            let svg = strip(&parts, "parts");
            assert_eq!(svg.matches("class=\"sealed\"").count(), count);
            assert!(!svg.contains("width=\"0\""), "{count}");
        }
        let mut parts = vec![(1 << 30, Ink::Sealed, "large".to_owned()); 3];
        parts.push((1, Ink::Active, "small".to_owned()));
        assert!(strip(&parts, "parts").contains("<rect x=\"9970\" y=\"0\" width=\"18\""));
    }
}
