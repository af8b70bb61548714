//! Rows, as lines of text and as JSON Lines.
#![expect(clippy::disallowed_types, reason = "figures are written to a file")]

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde_json::Value;

use crate::common::stats::Latencies;
use crate::common::{Result, Size, Spread};

/// The figures of one row.
#[derive(Debug)]
pub(crate) struct Row {
    work: &'static str,
    unit: &'static str,
    value: Spread,
    bare: Option<f64>,
    /// Of the value to the bare one, or to what `against` says.
    ratio: Option<Spread>,
    against: Option<&'static str>,
    fields: Vec<(String, Value)>,
}

impl Row {
    /// A row of which `values` were measured, one a round.
    pub(crate) fn new(work: &'static str, unit: &'static str, values: &[f64]) -> Self {
        Self {
            work,
            unit,
            value: Spread::of(values),
            bare: None,
            ratio: None,
            against: None,
            fields: vec![("rounds".to_owned(), values.len().into())],
        }
    }

    /// Adds what was measured without annals, and says what that was.
    pub(crate) fn bare(mut self, values: &[f64]) -> Self {
        self.bare = Some(Spread::of(values).median);
        self
    }

    /// Adds the ratio to the bare values.
    pub(crate) fn ratio(mut self, ratio: Spread) -> Self {
        self.ratio = Some(ratio);
        self
    }

    /// Adds the ratio to something else than the bare values.
    pub(crate) fn ratio_against(mut self, against: &'static str, ratio: Spread) -> Self {
        self.against = Some(against);
        self.ratio(ratio)
    }

    pub(crate) fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Adds a field for a figure, without the digits that mean nothing.
    pub(crate) fn figure(self, name: impl Into<String>, figure: f64) -> Self {
        self.field(name, rounded(figure))
    }

    /// Adds a field for the figure in the middle, and two with longer names for its ends.
    pub(crate) fn spread(self, name: &str, spread: Spread) -> Self {
        self.figure(name, spread.median)
            .figure(format!("{name}_min"), spread.min)
            .figure(format!("{name}_max"), spread.max)
    }

    /// Adds the latencies of one side, with names that begin with `prefix`.
    pub(crate) fn latencies(self, prefix: &str, latencies: &Latencies) -> Self {
        self.figure(format!("{prefix}p50_us"), latencies.p50)
            .figure(format!("{prefix}p99_us"), latencies.p99)
            .figure(format!("{prefix}p99_9_us"), latencies.p99_9)
            .figure(format!("{prefix}max_us"), latencies.max)
    }

    fn text(&self) -> String {
        let Self { work, unit, value: Spread { min, median, max }, .. } = self;
        let (min, median, max) = (short(*min), short(*median), short(*max));
        let value = format!("{work:18} annals {median} {unit} ({min}..{max})");
        let bare = self.bare.map(|bare| format!("bare {}", short(bare)));
        let ratio = self.ratio.map(|Spread { min, median, max }| {
            let against = self.against.map_or(String::new(), |against| format!(" to {against}"));
            format!("ratio{against} {median:.3} ({min:.3}..{max:.3})")
        });
        [Some(value), bare, ratio].into_iter().flatten().collect::<Vec<_>>().join("  ")
    }

    fn json(&self, size: Size) -> Result<String> {
        let ratio = |figure: fn(Spread) -> f64| Value::from(self.ratio.map(figure).map(rounded));
        let main = [
            ("work", Value::from(self.work)),
            ("value", rounded(self.value.median).into()),
            ("unit", self.unit.into()),
            ("bare", self.bare.map(rounded).into()),
            ("ratio_min", ratio(|ratio| ratio.min)),
            ("ratio_median", ratio(|ratio| ratio.median)),
            ("ratio_max", ratio(|ratio| ratio.max)),
            ("against", self.against.or(self.ratio.map(|_| "bare")).into()),
            ("quick", (size == Size::Quick).into()),
            ("value_min", rounded(self.value.min).into()),
            ("value_max", rounded(self.value.max).into()),
        ];
        let fields = self.fields.iter().map(|(name, value)| (name.as_str(), value));
        let all = main.iter().map(|(name, value)| (*name, value)).chain(fields);
        // By hand, because a map of serde_json would sort the names.
        let pairs =
            all.map(|(name, value)| Ok(format!("{}: {value}", serde_json::to_string(name)?)));
        Ok(format!("{{{}}}", pairs.collect::<Result<Vec<_>>>()?.join(", ")))
    }
}

/// A figure with three digits after the point.
fn rounded(figure: f64) -> f64 {
    (figure * 1e3).round() / 1e3
}

fn short(figure: f64) -> String {
    if figure < 1000.0 { format!("{figure:.2}") } else { format!("{figure:.0}") }
}

/// Where rows go: to stdout, and to a file.
#[derive(Debug)]
pub(super) struct Lines(File);

impl Lines {
    pub(super) fn create(path: &Path) -> Result<Self> {
        Ok(Self(File::create(path)?))
    }

    pub(super) fn add(&mut self, row: &Row, size: Size) -> Result<()> {
        println!("{}", row.text());
        Ok(writeln!(self.0, "{}", row.json(size)?)?)
    }
}
