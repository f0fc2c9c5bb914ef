"""A change as it travels between replicas, which may be of two versions."""

import dataclasses

import pytest

from dgad.references.domain import DomainSettings
from serve.engine.writes import (
    CreateDomain,
    DeleteDomain,
    Enroll,
    RemoveReference,
    Rollback,
    SetRegion,
    Write,
    pack_write,
    unpack_write,
)

WRITES: list[Write] = [
    CreateDomain(domain="belt", settings=DomainSettings(note="left camera"), author="anna"),
    Enroll(domain="belt", uploads=(), author="anna", idempotency_key="k"),
    RemoveReference(domain="belt", reference_id="0" * 64, purge=True, author="anna"),
    SetRegion(domain="belt", region={"polygons": [[[0, 0], [1, 0], [1, 1]]]}, author="anna"),
    Rollback(domain="belt", version=3, author="anna"),
    DeleteDomain(domain="belt", author="anna"),
]


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.action)
def test_a_change_travels_as_plain_arguments_and_comes_back_whole(write: Write) -> None:
    action, arguments = pack_write(write)
    assert unpack_write(action, arguments) == write
    assert arguments["by"] == "anna", "as the writer of an earlier version has it"
    assert {f.name for f in dataclasses.fields(write)} - {"author"} == arguments.keys() - {"by"}


def test_what_an_ingress_of_an_earlier_version_sends_is_understood() -> None:
    assert unpack_write("remove", {"domain": "belt", "reference_id": "a", "purge": False, "by": "local"}) == (
        RemoveReference(domain="belt", reference_id="a", purge=False, author="local")
    )


def test_what_no_version_sends_is_no_change() -> None:
    with pytest.raises(KeyError):
        unpack_write("finish_interrupted", {})
