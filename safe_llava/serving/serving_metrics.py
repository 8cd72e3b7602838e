"""What Prometheus may know of a server: numbers and times, nothing of what was asked."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class ServingMetrics:
    """The metrics of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "safe_llava_requests", "Requests by route and HTTP status.", ["route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "safe_llava_request_seconds",
            "Seconds from a request to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.verdicts = Counter(
            "safe_llava_verdicts",
            "Assessed prompts by level, trust and the policy's action.",
            ["level", "trusted", "action"],
            registry=registry,
        )
        self.not_assessed = Counter("safe_llava_not_assessed", "Prompts without an image.", registry=registry)
        self.guard_seconds = Histogram(
            "safe_llava_guard_seconds", "Seconds until a prompt is assessed.", buckets=_SECONDS, registry=registry
        )
        self.guard_batch = Histogram(
            "safe_llava_guard_batch", "Prompts assessed together.", buckets=(1, 2, 4, 8, 16, 32), registry=registry
        )
        self.generations = Counter("safe_llava_generations", "Chats that the model answers.", registry=registry)
        self.tokens = Counter("safe_llava_tokens", "Tokens of answers.", registry=registry)
        self.in_flight = Gauge("safe_llava_in_flight", "Requests at work or waiting.", ["kind"], registry=registry)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
