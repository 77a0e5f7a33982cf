//! Table: rows with aligned columns, sizes and ages for people, colour where a terminal shows it.

use std::io::IsTerminal;

use crate::plain;

/// Columns of text under headings.
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

/// One field of a table.
pub(crate) struct Cell {
    text: String,
    tone: Tone,
    align: Align,
}

/// How a field is coloured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
    Dim,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

impl Cell {
    /// A field of text, to the left.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::toned(text, Tone::Plain)
    }

    /// A field of text with a colour.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: plain(&text.into()),
            tone,
            align: Align::Left,
        }
    }

    /// A number, to the right.
    pub(crate) fn number(text: impl Into<String>) -> Self {
        Self {
            align: Align::Right,
            ..Self::text(text)
        }
    }
}

impl Table {
    /// A table with its headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let heading = |text: &&str| Cell::toned(*text, Tone::Dim);
        Self {
            rows: vec![headings.iter().map(heading).collect()],
        }
    }

    /// Adds a row of as many fields as there are headings.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table as text; colours where `paint` says so.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.text.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).filter_map(width).collect();
        // A heading stands over its column as the column's fields do.
        let aligns: Vec<Align> = (0..columns)
            .map(|column| {
                let field = self.rows.get(1).and_then(|row| row.get(column));
                field.map_or(Align::Left, |cell| cell.align)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), align) in row.iter().zip(&widths).zip(&aligns) {
                let space = " ".repeat(width - cell.text.chars().count());
                let painted = paint.apply(&cell.text, cell.tone);
                match align {
                    Align::Left => line.push_str(&format!("{painted}{space}  ")),
                    Align::Right => line.push_str(&format!("{space}{painted}  ")),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Whether colours are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Colours,
    Plain,
}

impl Paint {
    /// Colours on a terminal, unless `NO_COLOR` or a dumb terminal speaks against them.
    pub(crate) fn for_stdout() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb {
            Self::Colours
        } else {
            Self::Plain
        }
    }

    fn apply(self, text: &str, tone: Tone) -> String {
        let code = match (self, tone) {
            (Self::Plain, _) | (Self::Colours, Tone::Plain) => return text.to_owned(),
            (Self::Colours, Tone::Good) => "32",
            (Self::Colours, Tone::Warning) => "33",
            (Self::Colours, Tone::Bad) => "31",
            (Self::Colours, Tone::Dim) => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// A number of megabytes, in the largest unit that keeps it at 1 or more.
pub(crate) fn size(megabytes: f64) -> String {
    const UNITS: [(f64, &str); 3] = [(1_048_576.0, "TB"), (1024.0, "GB"), (0.0, "MB")];
    let (unit, name) = UNITS
        .into_iter()
        .find(|(unit, _)| megabytes >= *unit)
        .unwrap_or((0.0, "MB"));
    format!("{} {name}", amount(megabytes / unit.max(1.0)))
}

/// A number with as many digits as tell something: at most two after the point.
pub(crate) fn amount(value: f64) -> String {
    let text = format!("{value:.2}");
    let trimmed = text.trim_end_matches('0').trim_end_matches('.');
    trimmed.to_owned()
}

/// A number of seconds, in its largest unit.
pub(crate) fn age(seconds: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(86_400.0, "d"), (3600.0, "h"), (60.0, "m"), (0.0, "s")];
    let seconds = seconds.max(0.0);
    let (unit, name) = UNITS
        .into_iter()
        .find(|(unit, _)| seconds >= *unit)
        .unwrap_or((0.0, "s"));
    format!("{:.0}{name}", (seconds / unit.max(1.0)).floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_end_without_blanks() {
        let mut table = Table::new(&["NAME", "CPUS", "STATE"]);
        table.row(vec![
            Cell::text("node1"),
            Cell::number("2"),
            Cell::toned("active", Tone::Good),
        ]);
        table.row(vec![
            Cell::text("a\nb"),
            Cell::number("0.25"),
            Cell::text(""),
        ]);
        assert_eq!(
            table.render(Paint::Plain),
            "NAME   CPUS  STATE\nnode1     2  active\na\u{fffd}b    0.25\n"
        );
        assert!(
            table
                .render(Paint::Colours)
                .contains("\x1b[32mactive\x1b[0m")
        );
    }

    #[test]
    fn sizes_and_ages_are_short() {
        assert_eq!(size(512.0), "512 MB");
        assert_eq!(size(1536.0), "1.5 GB");
        assert_eq!(size(0.0), "0 MB");
        assert_eq!(age(59.9), "59s");
        assert_eq!(age(7300.0), "2h");
        assert_eq!(amount(0.1), "0.1");
        assert_eq!(amount(100.0), "100");
    }
}
