//! Series whose labels come of a metric's description, and whose labels' values come of closed sets.

use std::fmt::{self, Write as _};

use prometheus_client::{
    encoding::{EncodeLabelValue, LabelValueEncoder},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::Registry,
};

use super::catalog::{Description, Kind};
use crate::{
    api::{AccountState, Reason},
    schedule::Priority,
};

/// What a label may say: one of a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    /// A word of the program.
    Text(&'static str),
    /// A reason.
    Reason(Reason),
    /// A state of an account.
    State(AccountState),
    /// A priority of a visit.
    Priority(Priority),
}

impl Word {
    /// All is well.
    pub const OK: Self = Self::Text("Ok");
}

impl From<&'static str> for Word {
    fn from(text: &'static str) -> Self {
        Self::Text(text)
    }
}

impl From<Reason> for Word {
    fn from(reason: Reason) -> Self {
        Self::Reason(reason)
    }
}

impl From<AccountState> for Word {
    fn from(state: AccountState) -> Self {
        Self::State(state)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Reason(reason) => fmt::Display::fmt(reason, f),
            Self::State(state) => fmt::Debug::fmt(state, f),
            Self::Priority(priority) => fmt::Debug::fmt(priority, f),
        }
    }
}

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        write!(encoder, "{self}")
    }
}

type Labels<const N: usize> = [(&'static str, Word); N];

/// The series of one metric, by their labels.
#[derive(Debug, Clone)]
pub(super) struct Series<M, const N: usize, C = fn() -> M> {
    description: &'static Description,
    family: Family<Labels<N>, M, C>,
}

impl<M: Clone, const N: usize, C: MetricConstructor<M>> Series<M, N, C> {
    fn new(description: &'static Description, family: Family<Labels<N>, M, C>) -> Self {
        Self { description, family }
    }

    /// The series with these values of its labels.
    pub(super) fn of(&self, words: [Word; N]) -> M {
        let mut names = self.description.labels.iter().map(|(name, _)| *name);
        self.family.get_or_create_owned(&words.map(|word| (names.next().unwrap_or_default(), word)))
    }
}

/// Makes histograms with the bounds of a description.
#[derive(Debug, Clone)]
pub(super) struct Bounds(&'static Description);

impl MetricConstructor<Histogram> for Bounds {
    fn new_metric(&self) -> Histogram {
        let bounds = if let Kind::Histogram(bounds) = self.0.kind { bounds } else { &[] };
        Histogram::new(bounds.iter().copied())
    }
}

pub(super) type Counters<const N: usize> = Series<Counter, N>;
pub(super) type Gauges<const N: usize> = Series<Gauge, N>;
pub(super) type Histograms<const N: usize> = Series<Histogram, N, Bounds>;

pub(super) fn counters<const N: usize>(registry: &mut Registry, description: &'static Description) -> Counters<N> {
    let family = Family::default();
    registry.register(description.name, description.help, family.clone());
    Series::new(description, family)
}

pub(super) fn gauges<const N: usize>(registry: &mut Registry, description: &'static Description) -> Gauges<N> {
    let family = Family::default();
    registry.register(description.name, description.help, family.clone());
    Series::new(description, family)
}

pub(super) fn histograms<const N: usize>(registry: &mut Registry, description: &'static Description) -> Histograms<N> {
    let family = Family::new_with_constructor(Bounds(description));
    registry.register(description.name, description.help, family.clone());
    Series::new(description, family)
}
