"""Figures for Prometheus: bounded in labels, there under their names, and those the dashboard asks for."""

import json
import re
import types
from importlib.resources import files
from typing import Any

import pytest
import ray

from cluster.embedded import start_embedded_ray
from serve.replicas.metrics import EXPORTED, MAX_DOMAINS, ServiceMetrics
from tests.prometheus import asked_for, scraped, value_of


class Recorded:
    """A metric that keeps what it is told."""

    made: dict[str, "Recorded"]

    def __init__(self, name: str, description: str, *rest: Any) -> None:
        self.tag_keys = rest[-1] if rest else ()
        self.told: list[tuple[float, dict[str, str]]] = []
        self.made[name] = self

    def tell(self, value: float, tags: dict[str, str] | None = None) -> None:
        """Ray refuses tags that are not all there."""
        assert set(tags or {}) == set(self.tag_keys)
        self.told.append((value, tags or {}))

    inc = set = observe = tell


def _recorded(*, has_domain_labels: bool = True) -> tuple[ServiceMetrics, dict[str, Recorded]]:
    made: dict[str, Recorded] = {}
    kind = type("Kind", (Recorded,), {"made": made})
    kinds = types.SimpleNamespace(Counter=kind, Gauge=kind, Histogram=kind)
    return ServiceMetrics(replica="r1", has_domain_labels=has_domain_labels, kinds=kinds), made


def _tell_all(metrics: ServiceMetrics) -> None:
    route = "/v1/domains/{domain}/score"
    for status in (200, 200, 429):
        metrics.count_request(
            method="POST", route=route, status=status, seconds=0.03, domain="belt", num_images=2
        )
    metrics.count_scores("belt", ["normal", "abnormal", "normal"])
    metrics.set_queue(3)
    metrics.observe_batch(3, 0.02)
    metrics.set_store(num_domains=2, num_references=30)
    metrics.count_enrolment("added")
    metrics.count_state("hit")


def test_labels_are_bounded_whoever_asks_for_what() -> None:
    metrics, made = _recorded()
    for index in range(3 * MAX_DOMAINS):
        metrics.count_scores(f"d{index}", ["normal"])
        metrics.count_request(
            method=f"M{index}", route="unmatched", status=405, seconds=1, domain=None, num_images=0
        )
    metrics.count_scores("d0", ["abnormal"])
    domains = {tags["domain"] for _, tags in made["dgad_serve_scored_images_total"].told}
    assert len(domains) == MAX_DOMAINS + 1
    assert made["dgad_serve_scored_images_total"].told[-1][1] == {"domain": "d0", "verdict": "abnormal"}
    assert {tags["method"] for _, tags in made["dgad_serve_requests_total"].told} == {"other"}


def test_domains_are_named_only_where_the_settings_say_so() -> None:
    metrics, made = _recorded(has_domain_labels=False)
    _tell_all(metrics)
    told = [tags for metric in made.values() for _, tags in metric.told]
    assert {tags["domain"] for tags in told if "domain" in tags} == {"all"}
    assert "belt" not in str(told)


def test_outside_ray_nothing_is_told_and_nothing_fails() -> None:
    _tell_all(ServiceMetrics())  # raises nothing
    assert not ray.is_initialized()


def test_every_panel_asks_for_metrics_that_there_are() -> None:
    dashboard = json.loads(files("serve").joinpath("grafana/dgad-serve.json").read_text())
    for panel in dashboard["panels"]:
        assert asked_for(panel), panel["title"]
    assert asked_for(dashboard) <= EXPORTED
    # Ray counts observations at the middle of their bucket: no panel builds on a sum.
    assert EXPORTED - asked_for(dashboard) == {
        "ray_dgad_serve_request_seconds_count",
        "ray_dgad_serve_request_seconds_sum",
        "ray_dgad_serve_batch_seconds_count",
        "ray_dgad_serve_batch_seconds_sum",
        "ray_dgad_serve_batch_images_sum",
    }
    _, made = _recorded()
    names = {re.sub("_(bucket|count|sum)$", "", name.removeprefix("ray_")) for name in EXPORTED}
    assert names == set(made)


@pytest.mark.ray
def test_a_service_is_seen_on_the_metrics_port() -> None:
    with start_embedded_ray(num_cpus=1, dashboard=False):
        _tell_all(ServiceMetrics(replica="r1", has_domain_labels=True))
        text = scraped("ray_dgad_serve_enrolled_states_total", "ray_dgad_serve_queue_images")
    assert value_of(text, "ray_dgad_serve_requests_total", method="POST", status="200") == 2
    assert (
        value_of(text, "ray_dgad_serve_requests_total", route="/v1/domains/{domain}/score", status="429") == 1
    )
    assert value_of(text, "ray_dgad_serve_scored_images_total", domain="belt", verdict="normal") == 2
    assert value_of(text, "ray_dgad_serve_queue_images", replica="r1") == 3
    assert value_of(text, "ray_dgad_serve_batch_images_count") == 1
    assert value_of(text, "ray_dgad_serve_request_seconds_bucket", le="0.02") == 0
    assert value_of(text, "ray_dgad_serve_request_seconds_bucket", le="0.05") == 3
    assert value_of(text, "ray_dgad_serve_references") == 30
    for name in EXPORTED:
        assert re.search(rf"^{name}\{{", text, re.MULTILINE), name
