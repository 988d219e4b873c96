"""What a server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one server, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "alexnet_requests", "Requests answered.", ["endpoint", "status"], registry=registry
        )
        self.seconds = Histogram(
            "alexnet_request_seconds",
            "From a request's head to the end of its answer.",
            ["endpoint"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "alexnet_requests_in_flight", "Requests that are being answered.", registry=registry
        )
        self.images = Counter(
            "alexnet_images",
            "Images by what became of them: answered or refused.",
            ["result"],
            registry=registry,
        )
        self.batch = Histogram(
            "alexnet_batch_images",
            "Images in a call of the network.",
            buckets=_BATCHES,
            registry=registry,
        )
        self.model = Gauge(
            "alexnet_model_version", "Version of the model.", ["model"], registry=registry
        )

    def text(self) -> bytes:
        """All of them, in Prometheus' format."""
        return generate_latest(self._registry)
