"""What Prometheus reads: requests, their times, loads of models, and how good the index is."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The figures of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "neggen_requests",
            "Requests answered, by route and status.",
            ["route", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "neggen_request_seconds",
            "Seconds from the first byte of a request to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "neggen_requests_in_flight", "Requests under way.", registry=self._registry
        )
        self.loads = Counter(
            "neggen_model_loads",
            "Runs loaded or refused.",
            ["result"],
            registry=self._registry,
        )
        self.recall = Gauge(
            "neggen_index_recall",
            "Share of the true 20 best items that the index finds, measured when it was built.",
            registry=self._registry,
        )
        self.model = Gauge(
            "neggen_model_info",
            "1 for the model that is served.",
            ["model", "version", "index"],
            registry=self._registry,
        )

    def served(self, model: str, version: str, index: str, recall: float) -> None:
        """Note which model is served from now on."""
        self.loads.labels("served").inc()
        self.recall.set(recall)
        self.model.clear()
        self.model.labels(model, version, index).set(1)

    def text(self) -> bytes:
        """Return everything in the text format of Prometheus."""
        return generate_latest(self._registry)
