"""Nothing that is sent makes the service answer 500, and what must be refused is."""

from collections.abc import Iterator

import pytest

from serve.settings import Limits
from tests.serve.support.http import Served, served
from tests.serve.support.malformed import DOMAIN, complaint, corpus, send
from tests.serve.support.malformed_images import valid

COUNT = 68
"""Each kind four times; `benchmarks/malformed_bodies.py` sends hundreds."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("service"), limits=Limits(max_pixels=16 * 2**20)) as running:
        running.domain(DOMAIN)
        yield running


def test_malformed_requests_are_answered_with_a_reason(service: Served) -> None:
    cases = corpus(COUNT, seed=1)
    complaints = []
    for case in cases:
        wrong = complaint(case, send(service.url, case))
        if wrong is not None:
            complaints.append(f"{case.name}: {wrong} ({case.path[:80]!r} {case.headers!r:.200})")
    assert complaints == []
    assert service.ask("POST", f"/v1/domains/{DOMAIN}/score", data=valid("PNG")).status_code == 200
    assert [p for p in service.folder.rglob("*") if "passwd" in p.name] == []


def test_the_corpus_is_equal_for_equal_seeds() -> None:
    assert corpus(34, seed=5) == corpus(34, seed=5)
    assert corpus(34, seed=5) != corpus(34, seed=6)
