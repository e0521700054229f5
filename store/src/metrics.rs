//! What the store counts of itself, in the text format that Prometheus reads.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::persistence::Figures;

/// The media type of what [`Metrics::text`] gives.
pub(crate) const MEDIA: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper bounds of the histogram's buckets, in seconds. Held requests are in the last ones.
const BUCKETS: [f64; 11] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];

/// What is counted.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    seconds: Family<Route, Histogram, Buckets>,
    under_way: Gauge,
    held: Gauge,
    waiting: Gauge,
    nodes: Family<State, Gauge>,
    database: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

/// One more of something that goes up and down, until it is dropped.
pub(crate) struct OneMore(Gauge);

impl OneMore {
    fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for OneMore {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("converge_store");
        let metrics = (
            Family::<Request, Counter>::default(),
            Family::<Route, Histogram, Buckets>::new_with_constructor(Buckets),
            (Gauge::default(), Gauge::default(), Gauge::default()),
            Family::<State, Gauge>::default(),
            Gauge::default(),
        );
        let (requests, seconds, (under_way, held, waiting), nodes, database) = metrics;
        registry.register("requests", "Requests that were answered", requests.clone());
        let help = "How long requests took, held ones included";
        registry.register_with_unit("request_duration", help, Unit::Seconds, seconds.clone());
        registry.register("requests_under_way", "Requests that are not answered yet", under_way.clone());
        registry.register("requests_held", "Check-ins that wait for a change", held.clone());
        registry.register("requests_waiting", "Requests that wait for their turn", waiting.clone());
        registry.register("nodes", "Nodes: all, and those that are not as they should be on an axis", nodes.clone());
        registry.register_with_unit("database_size", "Size of the database", Unit::Bytes, database.clone());
        Self { registry, requests, seconds, under_way, held, waiting, nodes, database }
    }

    /// A request begins.
    pub(crate) fn begins(&self) -> OneMore {
        OneMore::of(&self.under_way)
    }

    /// A check-in waits for a change.
    pub(crate) fn holds(&self) -> OneMore {
        OneMore::of(&self.held)
    }

    /// A request was answered.
    pub(crate) fn ended(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        self.requests.get_or_create(&Request { method, route: route.to_owned(), status }).inc();
        self.seconds.get_or_create(&Route { route: route.to_owned() }).observe(took.as_secs_f64());
    }

    /// All of it, as text.
    pub(crate) fn text(&self, figures: &Figures, waiting: usize) -> Result<String, std::fmt::Error> {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for (state, count) in figures.nodes {
            self.nodes.get_or_create(&State { state }).set(number(count));
        }
        self.database.set(number(figures.bytes));
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
