"""Enrolled states come back as they were, or not at all."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from dgad.calibration.threshold import Calibration
from dgad.errors import MissingError, SettingsError
from dgad.methods.base import Enrolled
from dgad.references import enrolled as module
from dgad.references.domain import DomainSettings, Reference
from dgad.references.enrolled import EnrolledStore, enrolled_key
from dgad.references.plan import Plan
from dgad.references.store import ReferenceStore
from tests.dgad.references.photographs import id_number, upload
from tests.s3_server import S3Server

STATE = Enrolled(
    method="comparer",
    num_references=2,
    tensors={
        "patches": torch.arange(24, dtype=torch.float32).reshape(2, 3, 4),
        "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "scale": torch.tensor(0.25),
        "none": torch.zeros(0, 3),
        "empty": torch.zeros(0),
        "view": torch.arange(10)[::2],
    },
)
CALIBRATION = Calibration(
    scores=np.array([-1.25, 0.1, 7e300]),
    scheme="leave_one_out",
    guarantee="approximate",
    num_compared=2,
    map_low=-0.5,
    map_high=3.0,
    map_limit=float("inf"),
)
KEY = "a" * 64


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ReferenceStore:
    """A store with the domain `oak` and two photographs."""
    location: str | Path = tmp_path / "store"
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3")
        location = server.uri(f"shelf/{tmp_path.name}")
    store = ReferenceStore(location)
    store.create("oak", DomainSettings(), author="anna")
    plan = store.plan_enrolment("oak", [upload(1), upload(2)], author="anna")
    assert isinstance(plan, Plan)
    store.commit(plan)
    return store


def save(store: ReferenceStore, key: str = KEY, numbers: tuple[int, ...] = (1, 2)) -> None:
    """The state above, as made with those photographs."""
    EnrolledStore(store).save("oak", key, STATE, CALIBRATION, [id_number(n) for n in numbers])


def names(store: ReferenceStore) -> list[str]:
    """Keys of the files there are."""
    return [n.rsplit("/", 1)[-1].partition(".")[0] for n in store.storage.sizes("domains/oak/enrolled")]


def test_a_state_comes_back_as_it_was(store: ReferenceStore) -> None:
    assert EnrolledStore(store).load("oak", KEY) is None
    save(store)
    found = EnrolledStore(ReferenceStore(store.location)).load("oak", KEY)
    assert found is not None
    enrolled, calibration = found
    assert (enrolled.method, enrolled.num_references) == ("comparer", 2)
    assert enrolled.tensors.keys() == STATE.tensors.keys()
    for name, tensor in STATE.tensors.items():
        assert enrolled.tensors[name].dtype == tensor.dtype
        assert torch.equal(enrolled.tensors[name], tensor)
    assert calibration.scores.dtype == np.float64
    assert calibration.scores.tolist() == CALIBRATION.scores.tolist()
    for name in ("scheme", "guarantee", "num_compared", "map_low", "map_high", "map_limit"):
        assert getattr(calibration, name) == getattr(CALIBRATION, name)


def test_a_state_without_calibration_comes_back(store: ReferenceStore) -> None:
    bare = dataclasses.replace(CALIBRATION, scores=np.zeros(0), scheme="none", guarantee="none")
    EnrolledStore(store).save("oak", KEY, STATE, bare, [id_number(1)])
    found = EnrolledStore(store).load("oak", KEY)
    assert found is not None
    assert found[1].scores.shape == (0,)


def test_a_damaged_file_is_like_none(store: ReferenceStore) -> None:
    save(store)
    (name,) = store.storage.sizes("domains/oak/enrolled")
    whole = store.storage.read(name)
    assert whole is not None
    at = whole.index(b"approximate")
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    for damaged in (
        b"",
        whole[:5],
        whole[:200],
        whole[:-3],
        flipped,
        whole[:at] + b"exact......" + whole[at + 11 :],
    ):
        store.storage.write(name, damaged)
        assert EnrolledStore(store).load("oak", KEY) is None
    save(store)
    assert EnrolledStore(store).load("oak", KEY) is not None


def test_purged_photographs_leave_no_state_behind(store: ReferenceStore) -> None:
    save(store, "a" * 64, (1, 2))
    save(store, "b" * 64, (2,))
    store.storage.write(f"domains/oak/enrolled/{'c' * 64}.safetensors", b"says not what it is made of")
    store.remove("oak", id_number(1), author="anna")
    assert len(names(store)) == 3
    store.purge("oak", id_number(1), author="anna")
    assert names(store) == ["b" * 64]
    save(store, "d" * 64, (1, 2))  # by a replica that had begun before
    assert names(store) == ["b" * 64]
    EnrolledStore(store).drop("oak", id_number(2))
    assert names(store) == []
    save(store, "e" * 64, (2,))
    store.delete("oak", author="anna")
    save(store, "f" * 64, (2,))
    assert names(store) == []


def test_the_newest_files_are_kept(store: ReferenceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NUM_KEPT", 2)
    for key in ("1", "2", "3"):
        save(store, key * 64)
    assert "3" * 64 in names(store)
    assert len(names(store)) == 2


def test_a_key_depends_on_what_decides_the_state_only() -> None:
    def reference(number: int, name: str = "x") -> Reference:
        return Reference(
            id=id_number(number), name=name, num_bytes=1, width_px=1, height_px=1, added_at="2026-01-01"
        )

    base = enrolled_key("bundle", [reference(1), reference(2)], DomainSettings())
    assert base == enrolled_key(
        "bundle", [reference(2, "y"), reference(1)], DomainSettings(note="n", false_alarm_rate=0.1)
    )
    others = {
        enrolled_key("another", [reference(1), reference(2)], DomainSettings()),
        enrolled_key("bundle", [reference(1)], DomainSettings()),
        enrolled_key("bundle", [reference(1), reference(2)], DomainSettings(calibration="split")),
        enrolled_key("bundle", [reference(1), reference(2)], DomainSettings(coreset=2)),
    }
    assert len(others - {base}) == 4
    assert all(len(key) == 64 for key in others)


def test_a_key_depends_on_the_code_that_makes_calibrations(
    store: ReferenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = store.head("oak").references
    before = enrolled_key("bundle", references, DomainSettings())
    save(store, before)
    monkeypatch.setattr(module, "digest_deciding_code", lambda: "0" * 64)
    after = enrolled_key("bundle", references, DomainSettings())
    assert after != before
    reopened = ReferenceStore(store.location)
    assert EnrolledStore(reopened).load("oak", after) is None
    save(reopened, after)
    assert EnrolledStore(reopened).load("oak", after) is not None
    assert sorted(names(store)) == sorted([before, after])  # who still runs the code before finds its own


def test_keys_and_names_are_no_paths(store: ReferenceStore) -> None:
    enrolled = EnrolledStore(store)
    with pytest.raises(MissingError, match="64 hex digits"):
        enrolled.load("oak", "../../../store")
    with pytest.raises(SettingsError, match="A domain's name"):
        enrolled.load("../oak", KEY)


def test_a_mapped_state_outlives_its_file(store: ReferenceStore) -> None:
    save(store)
    found = EnrolledStore(store).load("oak", KEY)
    store.delete("oak", author="anna")
    assert found is not None
    assert torch.equal(found[0].tensors["patches"], STATE.tensors["patches"])
