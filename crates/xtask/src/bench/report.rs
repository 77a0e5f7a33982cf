//! Figures as JSON lines, as a table, beside those of an earlier run, and how they grow.
//!
//! A line is one figure: `value` in `unit`, with its `budget` or null; every other field says what was
//! measured, and two lines that agree in all of these are about the same thing. Less is better, unless
//! the unit ends in `/s`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// How figures are shown; the same with every benchmark that has many.
#[derive(Debug, Clone, clap::Args)]
// Groups are named for their types, and what this one is part of is an `Args`, too.
#[group(skip)]
pub(super) struct Args {
    /// Print JSON lines instead of a table.
    #[arg(long)]
    json: bool,
    /// Show the change against the JSON lines of an earlier run.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

/// One line.
#[derive(Debug, Clone)]
pub(super) struct Figure(Map<String, Value>);

impl Figure {
    /// Reads a line.
    ///
    /// # Errors
    /// It is no JSON object, or has no value.
    pub(super) fn parse(line: &str) -> Result<Self> {
        let fields: Map<String, Value> =
            serde_json::from_str(line).with_context(|| format!("read the figure {line:?}"))?;
        if !fields.get("value").is_some_and(Value::is_number) {
            bail!("the figure {line:?} has no value");
        }
        Ok(Self(fields))
    }

    /// A figure of a benchmark.
    pub(super) fn new(
        about: &[(&str, Value)],
        value: f64,
        unit: &str,
        budget: Option<f64>,
    ) -> Self {
        let mut fields = Map::new();
        for (name, value) in about {
            fields.insert((*name).to_owned(), value.clone());
        }
        fields.insert("unit".into(), unit.into());
        fields.insert("value".into(), value.into());
        fields.insert("budget".into(), budget.into());
        Self(fields)
    }

    fn number(&self, field: &str) -> Option<f64> {
        self.0.get(field).and_then(Value::as_f64)
    }

    fn value(&self) -> f64 {
        self.number("value").unwrap_or_default()
    }

    /// What it is to keep, where it is to.
    pub(super) fn budget(&self) -> Option<f64> {
        self.number("budget")
    }

    fn unit(&self) -> &str {
        self.0.get("unit").and_then(Value::as_str).unwrap_or("")
    }

    /// What it is about, as text; `without` leaves a field out.
    fn about(&self, without: &str) -> String {
        let result = [
            "value", "unit", "budget", "offers", "machine", "kB", without,
        ];
        let mut text = String::new();
        for (name, value) in &self.0 {
            if result.contains(&name.as_str()) {
                continue;
            }
            let plain = value.as_str().map_or(value.to_string(), str::to_owned);
            let _ = match value {
                Value::String(_) => write!(text, "{plain} "),
                _ => write!(text, "{name}={plain} "),
            };
        }
        text.trim_end().to_owned()
    }

    fn is_rate(&self) -> bool {
        self.unit().ends_with("/s")
    }

    /// What it is about, the value, and whether that keeps the budget.
    pub(super) fn line(&self) -> String {
        let about = self.about("");
        let mut text = format!("{about:<52} {:>12.3} {}", self.value(), self.unit());
        if let Some(budget) = self.budget() {
            let kept = match self.keeps_budget() {
                Some(false) => "MISSED",
                Some(true) | None => "kept",
            };
            let _ = write!(text, "  (budget {budget}, {kept})");
        }
        text
    }

    /// Whether it keeps its budget; `None` where it has none.
    pub(super) fn keeps_budget(&self) -> Option<bool> {
        let budget = self.number("budget")?;
        Some(match self.is_rate() {
            true => self.value() >= budget,
            false => self.value() <= budget,
        })
    }
}

/// Prints the figures in the way that was asked for.
pub(super) fn print(args: &Args, figures: &[Figure]) -> Result<()> {
    if args.json {
        for figure in figures {
            println!("{}", Value::Object(figure.0.clone()));
        }
    } else {
        let before = args.compare.as_deref().map(read).transpose()?;
        print!("{}", table(figures, before.as_deref()));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<Figure>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("read {} to compare with", path.display()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(Figure::parse).collect()
}

/// A line a figure, and how they grow with agents and with frameworks.
fn table(figures: &[Figure], before: Option<&[Figure]>) -> String {
    let mut text = String::new();
    for figure in figures {
        let about = figure.about("");
        text.push_str(&figure.line());
        let earlier = before.into_iter().flatten().find(|b| b.about("") == about);
        if let Some(earlier) = earlier.filter(|earlier| earlier.value() != 0.0) {
            let change = (figure.value() / earlier.value() - 1.0) * 100.0;
            let _ = write!(text, "  {change:+.1} % against {:.3}", earlier.value());
        }
        text.push('\n');
    }
    for variable in ["agents", "frameworks"] {
        for (about, exponent) in growth(figures, variable) {
            let _ = writeln!(text, "{about}: grows with {variable}^{exponent:.2}");
        }
    }
    text
}

/// The exponents of power laws, fitted by least squares where there are three sizes or more.
fn growth(figures: &[Figure], variable: &str) -> Vec<(String, f64)> {
    let mut series: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for figure in figures.iter().filter(|figure| !figure.is_rate()) {
        let at = figure.number(variable).filter(|at| *at > 0.0);
        if let Some(at) = at.filter(|_| figure.value() > 0.0) {
            let points = series.entry(figure.about(variable)).or_default();
            points.push((at.ln(), figure.value().ln()));
        }
    }
    series.retain(|_, points| points.len() >= 3);
    series
        .into_iter()
        .map(|(about, points)| (about, slope(&points)))
        .collect()
}

fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let over: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let under: f64 = points.iter().map(|p| (p.0 - x) * (p.0 - x)).sum();
    over / under
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(agents: u32, value: f64, unit: &str, budget: Option<f64>) -> Figure {
        Figure::new(
            &[("case", "plain".into()), ("agents", agents.into())],
            value,
            unit,
            budget,
        )
    }

    #[test]
    fn a_budget_bounds_a_time_from_above_and_a_rate_from_below() {
        for (unit, value, kept) in [("ms", 9.0, true), ("ms", 11.0, false)] {
            let timed = figure(1, value, unit, Some(10.0));
            assert_eq!(timed.keeps_budget(), Some(kept), "{value} {unit}");
            let rated = figure(1, value, "offers/s", Some(10.0));
            assert_eq!(rated.keeps_budget(), Some(!kept), "{value} offers/s");
        }
        assert_eq!(figure(1, 1.0, "ms", None).keeps_budget(), None);
    }

    #[test]
    fn growth_is_the_exponent_of_the_power_law() {
        let squares: Vec<_> = [1_u32, 10, 100]
            .map(|n| figure(n, f64::from(n * n), "ms", None))
            .into();
        let fitted = growth(&squares, "agents");
        assert_eq!(fitted.len(), 1);
        assert!((fitted[0].1 - 2.0).abs() < 1e-9, "{fitted:?}");
        assert!(
            growth(&squares[..2], "agents").is_empty(),
            "two points fit anything"
        );
        assert!(growth(&squares, "frameworks").is_empty());
    }

    #[test]
    fn a_figure_is_compared_with_the_one_about_the_same_thing() {
        let earlier = [figure(1, 2.0, "ms", None), figure(2, 8.0, "ms", None)];
        let text = table(&[figure(2, 4.0, "ms", Some(3.0))], Some(&earlier));
        assert!(text.contains("-50.0 % against 8.000"), "{text}");
        assert!(text.contains("MISSED"), "{text}");
        let line = Value::Object(earlier[0].0.clone()).to_string();
        assert_eq!(Figure::parse(&line).unwrap().value(), 2.0);
        assert!(Figure::parse("{\"case\":\"plain\"}").is_err());
    }
}
