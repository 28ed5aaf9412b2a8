//! The results as a table in Markdown, readable as it is.

use std::fmt::Write as _;

use crate::measure::{Row, Sample, Unit};
use crate::rounds::{Outcome, Results};
use crate::server::Product;

const GIBIBYTE: f64 = 1024.0 * 1024.0 * 1024.0;

impl Unit {
    /// The value with its unit, when one thing costs `each`.
    pub(crate) fn show(self, each: f64) -> String {
        match self {
            Self::PerCpuSecond => format!("{:.0} /CPU-s ({:.2} µs)", 1.0 / each, each * 1e6),
            Self::GibPerCpuSecond => {
                format!("{:.2} GiB/CPU-s ({:.3} s/GiB)", 1.0 / each / GIBIBYTE, each * GIBIBYTE)
            }
            Self::KibEach => format!("{:.2} KiB", each / 1024.0),
        }
    }
}

/// A line per row: the median of each server, and how the first one's cost compares with that of each other.
pub(crate) fn table(products: &[Box<dyn Product>], rows: &[Row], results: &Results) -> String {
    let mut lines = Vec::new();
    let names: Vec<&str> = products.iter().map(|product| product.name()).collect();
    let (first, others) = names.split_first().map_or(("", &names[..]), |(first, others)| (*first, others));
    let mut head = vec!["measure".to_owned()];
    head.extend(names.iter().map(|name| (*name).to_owned()));
    head.extend(others.iter().map(|other| format!("cost of {first} / {other}")));
    head.push("cores busy, server + load".to_owned());
    lines.push(head);
    for (row, found) in rows.iter().zip(results) {
        let mut line = vec![row.name.to_owned()];
        line.extend(found.iter().map(|outcomes| value(row.unit, outcomes)));
        if let Some((own, others)) = found.split_first() {
            line.extend(others.iter().map(|other| ratio(own, other)));
        }
        line.push(found.iter().map(|outcomes| busy(outcomes)).collect::<Vec<_>>().join(", "));
        lines.push(line);
    }
    aligned(&lines)
}

/// A line for each measurement that failed; empty when none did.
pub(crate) fn failures(products: &[Box<dyn Product>], rows: &[Row], results: &Results) -> String {
    let mut text = String::new();
    for (row, found) in rows.iter().zip(results) {
        for (product, outcomes) in products.iter().zip(found) {
            for reason in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "\n{}: {}: {reason}", row.name, product.name());
            }
        }
    }
    text
}

fn samples(outcomes: &[Outcome]) -> Vec<&Sample> {
    outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()?.as_ref()).collect()
}

fn value(unit: Unit, outcomes: &[Outcome]) -> String {
    match median(samples(outcomes).iter().map(|sample| sample.cost_each()).collect()) {
        Some(each) => unit.show(each),
        None if outcomes.iter().any(Result::is_err) => "failed".to_owned(),
        None => "-".to_owned(),
    }
}

/// Compared within each round, as the machine differs from one to the next.
fn ratio(own: &[Outcome], other: &[Outcome]) -> String {
    let ratios: Vec<f64> = own
        .iter()
        .zip(other)
        .filter_map(|pair| match pair {
            (Ok(Some(own)), Ok(Some(other))) => Some(own.cost_each() / other.cost_each()),
            _ => None,
        })
        .collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    match median(ratios) {
        Some(median) => format!("{median:.3} ({least:.3}..{most:.3})"),
        None => "-".to_owned(),
    }
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get(values.len().saturating_sub(1) / 2)?;
    Some((lower + upper) / 2.0)
}

fn busy(outcomes: &[Outcome]) -> String {
    let shares: Vec<(f64, f64)> = samples(outcomes).iter().filter_map(|sample| sample.busy).collect();
    if shares.is_empty() {
        return "-".to_owned();
    }
    let mean =
        |share: fn(&(f64, f64)) -> f64| shares.iter().map(share).sum::<f64>() / shares.len() as f64 * 100.0;
    format!("{:.0} + {:.0} %", mean(|share| share.0), mean(|share| share.1))
}

fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell: &String| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                let _ = write!(text, "|-{:-<width$}-", "");
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(cost: f64) -> Outcome {
        Ok(Some(Sample { done: 1.0, cost, busy: Some((1.0, 0.5)) }))
    }

    #[test]
    fn ratios_are_made_within_rounds() {
        let own = [outcome(1.0), outcome(4.0), outcome(3.0)];
        let other = [outcome(2.0), outcome(4.0), outcome(12.0)];
        assert_eq!(ratio(&own, &other), "0.500 (0.250..1.000)");
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), Some(3.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_failed_round_takes_no_part_in_the_ratio() {
        let own = [Err("x".to_owned()), outcome(4.0)];
        let other = [outcome(2.0), outcome(8.0)];
        assert_eq!(ratio(&own, &other), "0.500 (0.500..0.500)");
        assert_eq!(ratio(&own[..1], &other[..1]), "-");
        assert_eq!(value(Unit::KibEach, &own[..1]), "failed");
    }

    #[test]
    fn cells_of_a_column_are_equally_wide() {
        let lines = [vec!["measure".to_owned(), "µs".to_owned()], vec!["a".to_owned(), "12345".to_owned()]];
        assert_eq!(aligned(&lines), "| measure | µs    |\n|---------|-------|\n| a       | 12345 |\n");
    }
}
