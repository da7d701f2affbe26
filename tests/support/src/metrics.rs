//! Metrics as the operator serves them, read strictly: whatever Prometheus would not take, or would take
//! in another sense, is an error.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Error, Result};

type Labels = BTreeMap<String, String>;

/// One value of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The name.
    pub name: String,
    /// The labels.
    pub labels: Labels,
    /// The value.
    pub value: f64,
}

/// All metrics at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// The text.
    pub text: String,
    /// What it says, in its order.
    pub samples: Vec<Sample>,
    types: BTreeMap<String, String>,
}

impl Metrics {
    /// Reads Prometheus's text format.
    pub fn parse(text: &str) -> Result<Self> {
        let mut this = Self { text: text.to_owned(), samples: Vec::new(), types: BTreeMap::new() };
        let mut helped = BTreeSet::new();
        for line in text.lines() {
            let wrong = |why: &str| Error::Backend(format!("metrics: {why}: {line:?}"));
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
                if help.is_empty() || !helped.insert(name.to_owned()) {
                    return Err(wrong("empty or repeated help"));
                }
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
                let known = ["counter", "gauge", "histogram"].contains(&kind);
                if !known || this.types.insert(name.to_owned(), kind.to_owned()).is_some() {
                    return Err(wrong("unknown or repeated type"));
                }
            } else {
                let sample = sample(line).map_err(|why| wrong(&why))?;
                let known = this.kind(&sample.name).ok_or_else(|| wrong("no type before it"))?;
                if known == "counter" && !sample.name.ends_with("_total") {
                    return Err(wrong("a counter without _total"));
                }
                if known != "gauge" && sample.value < 0.0 {
                    return Err(wrong("a negative count"));
                }
                this.samples.push(sample);
            }
        }
        this.check(&helped)?;
        Ok(this)
    }

    /// The type of a series.
    fn kind(&self, name: &str) -> Option<&str> {
        if let Some(kind) = self.types.get(name) {
            return (kind != "histogram").then_some(kind);
        }
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix))?;
        self.types.get(base).map(String::as_str).filter(|kind| *kind == "histogram")
    }

    /// No series twice, help for each, and histograms whose buckets add up.
    fn check(&self, helped: &BTreeSet<String>) -> Result<()> {
        if *helped != self.types.keys().cloned().collect() {
            return Err(Error::Backend("metrics: help and types are not of the same metrics".to_owned()));
        }
        let mut seen = BTreeSet::new();
        let mut buckets: BTreeMap<(&str, Labels), Vec<(f64, f64)>> = BTreeMap::new();
        for sample in &self.samples {
            if !seen.insert((&sample.name, &sample.labels)) {
                return Err(Error::Backend(format!("metrics: twice: {sample:?}")));
            }
            if let Some(base) = sample.name.strip_suffix("_bucket") {
                let mut labels = sample.labels.clone();
                let bound = labels.remove("le").and_then(|bound| number(&bound));
                let bound = bound.ok_or_else(|| Error::Backend(format!("metrics: no bound: {sample:?}")))?;
                buckets.entry((base, labels)).or_default().push((bound, sample.value));
            }
        }
        for ((base, labels), counts) in buckets {
            let of = |suffix: &str| self.value_of(&format!("{base}{suffix}"), &labels);
            let grows = counts.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            let last = counts.last().copied();
            if !grows || last != of("_count").map(|count| (f64::INFINITY, count)) || of("_sum").is_none() {
                return Err(Error::Backend(format!("metrics: buckets of {base}{labels:?} do not add up: {counts:?}")));
            }
        }
        Ok(())
    }

    fn value_of(&self, name: &str, labels: &Labels) -> Option<f64> {
        self.samples.iter().find(|sample| sample.name == name && sample.labels == *labels).map(|sample| sample.value)
    }

    /// The sum over the series that have these labels, among others; 0 without any. The operator's prefix
    /// is added to the name.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let name = format!("port_aws_operator_{name}");
        let has = |sample: &&Sample| {
            let fits = |(key, value): &(&str, &str)| sample.labels.get(*key).map(String::as_str) == Some(*value);
            sample.name == name && labels.iter().all(fits)
        };
        self.samples.iter().filter(has).map(|sample| sample.value).sum()
    }

    /// The sums of a metric by one of its labels, without those that are 0.
    #[must_use]
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let name = format!("port_aws_operator_{name}");
        let mut sums = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| sample.name == name && sample.value != 0.0) {
            let key = sample.labels.get(label).cloned().unwrap_or_default();
            *sums.entry(key).or_default() += sample.value;
        }
        sums
    }
}

fn sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name) {
        return Err("not a name".to_owned());
    }
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("a label without a value")?;
            let (value, after) = quoted(after)?;
            if !is_name(label) || labels.insert(label.to_owned(), value).is_some() {
                return Err(format!("label {label}"));
            }
            match after.split_at_checked(1).ok_or("no end")? {
                (",", more) => rest = more,
                ("}", more) => break rest = more,
                _ => return Err("neither a label nor the end".to_owned()),
            }
        }
    }
    let value = rest.strip_prefix(' ').and_then(number).ok_or("not a number")?;
    Ok(Sample { name: name.to_owned(), labels, value })
}

/// The text up to an unescaped quotation mark, and what follows.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let (mut value, mut letters) = (String::new(), text.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, letter @ ('\\' | '"'))) => value.push(letter),
                _ => return Err("an escape that there is not".to_owned()),
            },
            letter => value.push(letter),
        }
    }
    Err("no end of a value".to_owned())
}

fn is_name(text: &str) -> bool {
    let fits = |letter: char| letter == '_' || letter.is_ascii_alphanumeric();
    !text.starts_with(|letter: char| letter.is_ascii_digit()) && !text.is_empty() && text.chars().all(fits)
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        text if text.starts_with(|letter: char| letter == '-' || letter.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP port_aws_operator_a_total A.\n# TYPE port_aws_operator_a_total counter\n\
        port_aws_operator_a_total{x=\"1\",y=\"q\\\"}\"} 2\nport_aws_operator_a_total{x=\"2\",y=\"\"} 3\n\
        # HELP h H.\n# TYPE h histogram\nh_sum 1.5\nh_count 2\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\n";

    #[test]
    fn what_is_well_formed_is_read() -> Result<()> {
        let metrics = Metrics::parse(GOOD)?;
        assert_eq!(metrics.samples[0].labels["y"], "q\"}");
        assert!((metrics.sum("a_total", &[]) - 5.0).abs() < f64::EPSILON);
        assert_eq!(metrics.by("a_total", "x"), BTreeMap::from([("1".to_owned(), 2.0), ("2".to_owned(), 3.0)]));
        Ok(())
    }

    #[test]
    fn what_is_not_is_refused() {
        for (from, to) in [
            ("x=\"2\",y=\"\"", "x=\"1\",y=\"q\\\"}\""),
            ("x=\"2\"", "x=\"2\",x=\"3\""),
            ("} 3", "}  3"),
            ("} 3", "} three"),
            ("} 3", " 3"),
            ("h_count 2", "h_count 3"),
            ("{le=\"0.5\"} 1", "{le=\"0.5\"} 3"),
            ("# TYPE h histogram\n", ""),
            ("# HELP h H.\n", ""),
            ("h_sum", "g_sum"),
            ("port_aws_operator_a_total", "port_aws_operator_a"),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from}");
            assert!(Metrics::parse(&text).is_err(), "{from} -> {to}");
        }
    }
}
