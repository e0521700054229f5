//! The tables that people read: every figure, and the numbers that the design promises.

use super::circumstances::Circumstances;
use super::figures::{Figures, Limit, Row, Series};

/// How tables look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Columns on a terminal.
    Plain,
    /// Tables of Markdown.
    Markdown,
}

/// What stands where nothing could be measured.
const NOTHING: &str = "–";

const FIGURES: [&str; 8] = ["bench", "", "wall ms", "CPU ms", "calls", "peak MB", "wall ratio", "CPU ratio"];
const LOADS: [&str; 10] = [
    "bench",
    "requests",
    "",
    "a second",
    "p50 ms",
    "p99 ms",
    "longest",
    "store CPU s",
    "load CPU s",
    "a store CPU second",
];
const FACTS: [&str; 3] = ["bench", "what", "figure"];
const LIMITS: [&str; 5] = ["bench", "what", "figure", "limit", ""];

/// Every figure, two lines a bench: its own and its floor's.
pub(crate) fn figures(rows: &[Row], look: Look) -> String {
    let mut lines = Vec::new();
    for row in rows.iter().filter(|row| row.load.is_none() && row.facts.is_empty()) {
        let ratio = |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}×"));
        let mut own = cells(&row.name, "agent", &row.subject);
        own.extend([ratio(row.ratio), ratio(row.cpu_ratio)]);
        lines.push(own);
        lines.extend(row.floor.as_ref().map(|floor| cells("", "floor", floor)));
    }
    draw(&FIGURES, lines, look)
}

fn cells(name: &str, side: &str, figures: &Figures) -> Vec<String> {
    let series = |series: &Option<Series>| match series {
        Some(series) => format!("{:.2} ± {:.2}", series.median, series.spread),
        None => NOTHING.to_owned(),
    };
    let calls = figures.calls.map_or_else(|| NOTHING.to_owned(), |calls| calls.total.to_string());
    let peak = figures.peak.map_or_else(|| NOTHING.to_owned(), |peak| format!("{:.1}", peak as f64 / 1e6));
    vec![name.to_owned(), side.to_owned(), series(&figures.wall), series(&figures.cpu), calls, peak]
}

/// What stores did under load.
pub(crate) fn loads(rows: &[Row], look: Look) -> String {
    let loads = rows.iter().filter_map(|row| row.load.as_ref()).map(|load| {
        let [half, most, longest] = [load.half, load.most, load.longest].map(|millis| format!("{millis:.1}"));
        let [store, own] = [load.store_cpu, load.own_cpu].map(|seconds| format!("{seconds:.2}"));
        let (rate, by_cpu) = (format!("{:.0}", load.rate()), format!("{:.0}", load.by_cpu()));
        let (name, what, requests) = (load.name.clone(), load.what.clone(), load.requests.to_string());
        vec![name, what, requests, rate, half, most, longest, store, own, by_cpu]
    });
    let facts = rows.iter().flat_map(|row| &row.facts).map(|fact| {
        let figure = format!("{:.1} {}", fact.figure, fact.unit).trim_end().to_owned();
        vec![fact.name.clone(), fact.what.clone(), figure]
    });
    format!("{}\n{}", draw(&LOADS, loads.collect(), look), draw(&FACTS, facts.collect(), look))
}

/// Every promise, kept or not.
pub(crate) fn limits(limits: &[(String, Limit)], look: Look) -> String {
    let lines = limits.iter().map(|(bench, limit)| {
        let number = |number: f64| format!("{number:.2} {}", limit.unit).trim_end().to_owned();
        let verdict = if limit.holds() { "PASS" } else { "FAIL" };
        vec![
            bench.clone(),
            limit.what.to_owned(),
            number(limit.figure),
            format!("≤ {}", number(limit.bound)),
            verdict.to_owned(),
        ]
    });
    draw(&LIMITS, lines.collect(), look)
}

/// On what the figures were taken.
pub(crate) fn circumstances(it: &Circumstances) -> String {
    let Circumstances { commit, system, kernel, processor, cores, file_system, load } = it;
    format!("{commit} on {system}, Linux {kernel}, {cores} cores of {processor}, {file_system}, load {load}")
}

fn draw(head: &[&str], lines: Vec<Vec<String>>, look: Look) -> String {
    let head: Vec<String> = head.iter().map(|&word| word.to_owned()).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = std::iter::once(&head).chain(&lines).filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let draw_line = |line: &Vec<String>| {
        let cells = widths.iter().enumerate().map(|(column, &width)| {
            let cell = line.get(column).map_or("", String::as_str);
            // Words to the left, numbers to the right.
            if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        let cells: Vec<String> = cells.collect();
        match look {
            Look::Plain => cells.join("  ").trim_end().to_owned() + "\n",
            Look::Markdown => format!("| {} |\n", cells.join(" | ")),
        }
    };
    let mut text = draw_line(&head);
    if look == Look::Markdown {
        let rule = widths.iter().enumerate().map(|(column, &width)| {
            let end = if column < 2 { "-" } else { ":" };
            "-".repeat(width.saturating_sub(1)) + end
        });
        text.push_str(&format!("| {} |\n", rule.collect::<Vec<_>>().join(" | ")));
    }
    text.extend(lines.iter().map(draw_line));
    text
}

#[cfg(test)]
mod tests {
    use super::super::figures::{Calls, Cost};
    use super::*;

    fn row() -> Row {
        let figures = |wall, calls| Figures::of("", &[Cost { wall, cpu: wall, peak: 2_500_000 }], calls);
        Row {
            floor: Some(figures(4.0, None)),
            ratio: Some(1.5),
            ..Row::alone("noop-100", figures(6.0, Some(Calls { total: 420, programs: 0 })))
        }
    }

    #[test]
    fn tables_line_up_and_say_where_nothing_was_measured() {
        let drawn = "\
bench                wall ms       CPU ms  calls  peak MB  wall ratio  CPU ratio
noop-100  agent  6.00 ± 0.00  6.00 ± 0.00    420      2.5       1.50×
          floor  4.00 ± 0.00  4.00 ± 0.00      –      2.5
";
        assert_eq!(figures(&[row()], Look::Plain), drawn);
    }

    #[test]
    fn a_promise_that_is_not_kept_says_so() {
        let limit = |figure| ("start".to_owned(), Limit { what: "wall time", figure, bound: 2.0, unit: "ms" });
        assert_eq!(
            limits(&[limit(2.0), limit(2.5)], Look::Markdown),
            "\
| bench | what      |  figure |     limit |      |
| ----- | --------- | ------: | --------: | ---: |
| start | wall time | 2.00 ms | ≤ 2.00 ms | PASS |
| start | wall time | 2.50 ms | ≤ 2.00 ms | FAIL |
"
        );
    }
}
