"""Answers of the service, as JSON, for a server that stands in for it."""

import base64
from typing import Any

THRESHOLD: dict[str, Any] = {
    "value": 1.5,
    "false_alarm_rate": 0.1,
    "lowest_rate": 0.0909,
    "guarantee": "approximate",
    "scheme": "leave_one_out",
    "num_compared": 10,
    "num_calibration": 10,
    "sentence": "At most 10% of normal parts, approximately.",
}
REFERENCE: dict[str, Any] = {
    "id": "ab" * 32,
    "name": "good.png",
    "num_bytes": 1234,
    "width_px": 64,
    "height_px": 48,
    "added_at": "2026-01-02T03:04:05Z",
    "near_duplicate_of": None,
}
DOMAIN: dict[str, Any] = {
    "name": "belt",
    "settings": {"false_alarm_rate": None, "calibration": "leave_one_out", "coreset": None, "note": ""},
    "version": 3,
    "sequence": 7,
    "num_references": 10,
    "created_at": "2026-01-02T03:04:05Z",
    "updated_at": "2026-01-03T03:04:05Z",
    "threshold": None,
    "thumbnail": "/v1/domains/belt/references/ab?thumbnail=96",
    "bundle_id": "b" * 32,
    "a_field_of_next_year": 1,
}
ENROLMENT: dict[str, Any] = {
    "domain": "belt",
    "version": 4,
    "added": [REFERENCE],
    "already_there": [],
    "repeated": False,
    "threshold": THRESHOLD,
    "warnings": ["good.png nearly equals another."],
    "milliseconds": 12.5,
}


def score(name: str, *, value: float = 0.5, verdict: str = "normal", overlay: bytes | None = None) -> Any:
    """One result."""
    url = None if overlay is None else "data:image/png;base64," + base64.b64encode(overlay).decode()
    return {
        "name": name,
        "score": value,
        "p_value": 0.3,
        "verdict": verdict,
        "threshold": THRESHOLD,
        "levels": [0.1, 0.5],
        "regions": [{"x": 1, "y": 2, "width": 3, "height": 4, "score": 2.5}],
        "heatmap": url,
        "version": 4,
        "bundle_id": "b" * 32,
        "milliseconds": 3.5,
    }


def scores(*results: Any) -> Any:
    """The answer to one request."""
    return {
        "domain": "belt",
        "version": 4,
        "bundle_id": "b" * 32,
        "num_references": 10,
        "milliseconds": 20.0,
        "results": list(results),
    }
