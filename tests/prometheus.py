"""What tests of figures share: a dashboard's queries, and Ray's metrics port."""

import re
import time
import urllib.request
from typing import Any


def asked_for(value: Any) -> set[str]:
    """The metrics in all expressions and queries of a Grafana dashboard, or of a part of one."""
    if isinstance(value, list):
        return {name for item in value for name in asked_for(item)}
    if isinstance(value, dict):
        own = {
            name
            for key in ("expr", "query")
            if isinstance(value.get(key), str)
            for name in re.findall(r"\bray_\w+", value[key])
        }
        return own | {name for item in value.values() for name in asked_for(item)}
    return set()


def scraped(*wanted: str) -> str:
    """The metrics of this process's Ray once all that is wanted is in them, which takes about ten seconds."""
    import ray

    node = ray.nodes()[0]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    deadline = time.monotonic() + 180
    while True:
        with urllib.request.urlopen(url, timeout=60) as answer:
            text: str = answer.read().decode()
        if all(each in text for each in wanted):
            return text
        assert time.monotonic() < deadline, "no metric came through in time"
        time.sleep(0.5)


def value_of(text: str, name: str, **tags: str) -> float:
    """The one series with these tags."""
    wanted = [f'{key}="{value}"' for key, value in tags.items()]
    found = [
        line
        for line in text.splitlines()
        if line.startswith(f"{name}{{") and all(tag in line for tag in wanted)
    ]
    assert len(found) == 1, (name, tags, found)
    return float(found[0].rpartition(" ")[2])
