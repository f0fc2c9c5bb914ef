"""What OpenAPI promises, held against requests that schemathesis makes of it."""

import contextlib
import dataclasses
from collections.abc import Iterator

import hypothesis
import pytest
import schemathesis
import schemathesis.openapi
from schemathesis.checks import load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks

from tests.serve.support.http import SMALL, Served, served

NUM_EXAMPLES = 4
"""Per operation."""

# A text longer than the description allows may already be too long for a header (431): refused as well.
_CONFIG = SchemathesisConfig.from_dict(
    {
        "checks": {
            "negative_data_rejection": {"expected-statuses": [400, 401, 404, 405, 409, 415, 422, 428, 431]}
        }
    }
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    # A generated query may be long: bounds on headers are another test's (431 fits no schema).
    limits = dataclasses.replace(SMALL, max_header_bytes=48 * 1024)
    with served(tmp_path_factory.mktemp("service"), limits=limits) as running:
        running.domain("carpet")
        yield running


@pytest.mark.slow
def test_no_request_made_of_the_description_is_answered_500_or_as_it_does_not_say(service: Served) -> None:
    load_all_checks()
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json", config=_CONFIG)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 16
    for operation in operations:
        for mode in schemathesis.GenerationMode:
            with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # nothing can be wrong about it
                _try(operation.as_strategy(generation_mode=mode))


def _try(strategy: object) -> None:
    @hypothesis.settings(
        max_examples=NUM_EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=strategy)
    def try_one(case: schemathesis.Case) -> None:
        case.call_and_validate(
            # Bytes that are no image fit the schema, and are refused; what is removed without `purge` stays
            # in older versions.
            excluded_checks=[checks.positive_data_acceptance, checks.use_after_free],
            timeout=30,
        )

    try_one()
