//! `/metrics`: the API's own counters and what the node gives, as OpenMetrics text.

use crate::ApiState;
use crate::backend::{Backend, FigureKind};
use crate::problem::Problem;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

/// The API's own figures.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
    /// Requests being served now.
    pub(crate) in_flight: Gauge,
    /// Requests turned away as too many were being served.
    pub(crate) turned_away: Counter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        let mut registry = Registry::with_prefix("isobar");
        let requests = Family::default();
        // 100 µs to 1.6 s in steps of two: a key-value request takes about a millisecond, its deadline is 10 s.
        let seconds = Family::<RouteLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.0001, 2.0, 15))
        });
        let (in_flight, turned_away) = (Gauge::default(), Counter::default());
        registry.register("http_requests", "Requests answered, by route and status", requests.clone());
        registry.register("http_request_seconds", "Time to answer a request, by route", seconds.clone());
        registry.register("http_in_flight", "Requests being served", in_flight.clone());
        registry.register(
            "http_turned_away",
            "Requests answered 503 as too many were being served",
            turned_away.clone(),
        );
        registry.register_collector(Box::new(NodeFigures(backend)));
        Self { registry, requests, seconds, in_flight, turned_away }
    }

    /// Counts one answered request. Routes are templates (`/v1/kv/{keyspace}/{*key}`), so that labels are bounded.
    pub(crate) fn record(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let method = match method.as_str() {
            "GET" => "GET",
            "PUT" => "PUT",
            "POST" => "POST",
            "DELETE" => "DELETE",
            "HEAD" => "HEAD",
            // Anything may stand here, and each would be a series of its own.
            _ => "other",
        };
        let labels = RouteLabels { method, route: route.to_owned() };
        self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
        let RouteLabels { method, route } = labels;
        self.requests.get_or_create(&RequestLabels { method, route, status: status.as_u16() }).inc();
    }
}

struct NodeFigures(Arc<dyn Backend>);

impl std::fmt::Debug for NodeFigures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeFigures")
    }
}

impl Collector for NodeFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        use prometheus_client::metrics::MetricType;
        for figure in self.0.figures() {
            let kind = match figure.kind {
                FigureKind::Counter => MetricType::Counter,
                FigureKind::Gauge => MetricType::Gauge,
            };
            let mut family = encoder.encode_descriptor(figure.name, figure.help, None, kind)?;
            for (labels, value) in &figure.samples {
                let metric: &dyn EncodeMetric = match figure.kind {
                    FigureKind::Counter => &ConstCounter::new(*value),
                    FigureKind::Gauge => &ConstGauge::new(*value),
                };
                // No labels are written without braces, as Prometheus has it; there is one such sample at most.
                if labels.is_empty() {
                    metric.encode(family)?;
                    break;
                }
                metric.encode(family.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

/// Figures for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses(
        (status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text", body = String,
            example = "isobar_http_requests_total{method=\"GET\",route=\"/v1/kv/{keyspace}/{*key}\",status=\"200\"} 91235\n"),
        (status = 500, description = "the figures can't be written", body = Problem),
    )
)]
pub(crate) async fn scrape(State(state): State<Arc<ApiState>>) -> Result<impl IntoResponse, Problem> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &state.metrics.registry).map_err(|error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the figures can't be written: {error}"))
    })?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}
