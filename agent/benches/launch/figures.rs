//! Figures: quantiles, and one line for each as `cargo xtask bench` reads them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rivals::Rival;
use crate::world::Network;

/// What lines of figures begin with; a console has others.
const MARK: &str = "figure ";

/// One figure.
#[derive(Debug)]
pub(crate) struct Figure {
    /// What it is about, in order.
    pub(crate) about: Vec<(&'static str, Value)>,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) budget: Option<f64>,
}

impl Figure {
    /// Writes its line.
    pub(crate) fn print(&self) {
        let mut line = json!({});
        for (name, value) in &self.about {
            line[*name] = value.clone();
        }
        line["unit"] = self.unit.into();
        line["value"] = self.value.into();
        line["budget"] = self.budget.into();
        println!("{MARK}{line}");
    }
}

/// The value that such a part of all is at or below.
fn quantile(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index of some thousand at most"
    )]
    let index = ((times.len() as f64 * part).ceil() as usize).clamp(1, times.len().max(1)) - 1;
    let time = times.get(index).copied().unwrap_or_default();
    time.as_secs_f64() * 1e3
}

/// Median and 99th percentile of each; the budget of ours is the fastest of the others.
pub(crate) fn of_launches(network: Network, rivals: &[(Rival, Vec<Duration>)]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
        let values: Vec<(Rival, f64)> = rivals
            .iter()
            .map(|(rival, times)| (*rival, quantile(&mut times.clone(), part)))
            .collect();
        let others = values.iter().filter(|(rival, _)| *rival != Rival::Tepui);
        let fastest = others.map(|(_, value)| *value).min_by(f64::total_cmp);
        figures.extend(values.iter().map(|(rival, value)| Figure {
            about: vec![
                ("figure", json!("launch")),
                ("network", json!(network.name())),
                ("quantile", json!(name)),
                ("program", json!(rival.name())),
            ],
            value: *value,
            unit: "ms",
            budget: fastest.filter(|_| *rival == Rival::Tepui),
        }));
    }
    figures
}
