"""What a crash broke off is finished at the next opening for writing, and nothing else is touched."""

import os
import struct
from pathlib import Path

import pytest

from dgad.errors import MissingError
from dgad.references import cleaning, photographs
from dgad.references.cleaning import delete_photographs
from dgad.references.domain import DomainSettings
from dgad.references.plan import Plan
from dgad.references.store import ReferenceStore
from dgad.storage import Storage
from tests.dgad.references.photographs import id_number, upload

OLD = 10**9


@pytest.fixture
def opened(tmp_path: Path) -> ReferenceStore:
    """`oak` with three photographs in two versions, and a state made with the first two."""
    opened = ReferenceStore(tmp_path / "store")
    opened.create("oak", DomainSettings(), author="anna")
    for numbers in ([1, 2], [3]):
        plan = opened.plan_enrolment("oak", [upload(n) for n in numbers], author="anna")
        assert isinstance(plan, Plan)
        opened.commit(plan)
    header = b'{"__metadata__":{"reference_ids":"[\\"%s\\"]"}}' % id_number(1).encode()
    opened.storage.write(
        f"domains/oak/enrolled/{'a' * 64}.safetensors", struct.pack("<Q", len(header)) + header
    )
    return opened


def files(opened: ReferenceStore) -> list[str]:
    """Every file but those of the log, hidden ones too; photographs by number."""
    folder = Path(opened.location) / "domains/oak"
    numbers = {id_number(n): str(n) for n in range(10)}
    found = [p for p in folder.rglob("*") if p.is_file() and p.parent.name != "changes" and p.name != ".lock"]
    return sorted(f"{p.parent.name}/{numbers.get(p.name, p.name[:6])}" for p in found)


def _killed(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_purge_broken_off_is_finished(opened: ReferenceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(cleaning, "delete_photographs", _killed)
        with pytest.raises(KeyboardInterrupt):
            opened.purge("oak", id_number(1), author="anna")
    assert "images/1" in files(opened)
    fresh = ReferenceStore(opened.location)
    with pytest.raises(MissingError):
        fresh.image("oak", id_number(1))
    fresh.finish_interrupted()
    assert files(opened) == ["fingerprints/2", "fingerprints/3", "images/2", "images/3"]


def test_a_purge_that_the_disk_kept_from_its_end_can_be_asked_again(
    opened: ReferenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(cleaning, "delete_photographs", _killed)
        with pytest.raises(KeyboardInterrupt):
            opened.purge("oak", id_number(1), author="anna")
    assert opened.purge("oak", id_number(1), author="anna").sequence == 4
    assert "images/1" not in files(opened)
    with pytest.raises(MissingError):
        opened.purge("oak", id_number(1), author="anna")


@pytest.mark.parametrize("num_written", range(4))
def test_killed_while_the_log_is_rid_of_a_photograph_it_is_finished(
    opened: ReferenceStore, monkeypatch: pytest.MonkeyPatch, num_written: int
) -> None:
    write, left = Storage.write, [num_written]

    def write_until_killed(storage: Storage, name: str, data: bytes) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(storage, name, data)

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "write", write_until_killed)
        with pytest.raises(KeyboardInterrupt):
            opened.purge("oak", id_number(1), author="bert")
    fresh = ReferenceStore(opened.location)
    fresh.finish_interrupted()
    folder = Path(opened.location) / "domains/oak/changes"
    is_done = num_written > 0  # before that it had not begun
    assert any(id_number(1) in p.read_text() for p in folder.iterdir()) is not is_done
    assert [v.num_purged for v in fresh.versions("oak")] == ([1, 1, 0] if is_done else [0, 0])
    assert sorted(p.suffix for p in folder.iterdir()) == [".json"] * (4 if is_done else 3), "no mark is left"


def test_a_purge_takes_what_a_killed_writer_left_of_the_log(opened: ReferenceStore) -> None:
    folder = Path(opened.location) / "domains/oak/changes"
    (folder / ".00000004.json.tmp-1234-abcd1234").write_text(id_number(1))
    opened.purge("oak", id_number(1), author="anna")
    assert sorted(p.name for p in folder.iterdir()) == [f"0000000{n}.json" for n in (1, 2, 3, 4)]


def test_a_removal_broken_off_at_any_file_is_finished(
    opened: ReferenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Storage.delete

    def delete_until_killed(storage: Storage, *names: str) -> None:
        if any("/images/" in n for n in names):
            raise KeyboardInterrupt
        whole(storage, *names)

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "delete", delete_until_killed)
        with pytest.raises(KeyboardInterrupt):
            opened.delete("oak", author="anna")
    assert files(opened) == ["images/1", "images/2", "images/3"]
    opened.create("oak", DomainSettings(), author="anna")
    ReferenceStore(opened.location).finish_interrupted()
    assert files(opened) == []


def test_orphans_go_when_they_are_old_and_what_is_listed_stays(opened: ReferenceStore) -> None:
    opened.remove("oak", id_number(3), author="anna")
    before = files(opened)
    assert isinstance(opened.plan_enrolment("oak", [upload(4)], author="anna"), Plan)  # then killed
    folder = Path(opened.location) / "domains/oak"
    opened.finish_interrupted()
    assert files(opened) == sorted([*before, "fingerprints/4", "images/4"])
    for path in folder.rglob("*"):
        os.utime(path, (OLD, OLD))
    opened.finish_interrupted()
    assert files(opened) == before
    assert opened.image("oak", id_number(3)) == upload(3).data


def test_leftovers_of_killed_writers_are_hidden_and_go(opened: ReferenceStore) -> None:
    folder = Path(opened.location) / "domains/oak"
    before = files(opened)
    for name in ("changes", "images", "fingerprints", "enrolled"):
        for age in ("old", "young"):
            path = folder / name / f".{age}.tmp-1234-abcd1234"
            path.write_bytes(b"half")
            if age == "old":
                os.utime(path, (OLD, OLD))
    fresh = ReferenceStore(opened.location)
    assert fresh.head("oak").sequence == 3
    assert photographs.Photographs(fresh.storage).ids("oak") == {id_number(n) for n in (1, 2, 3)}
    fresh.finish_interrupted()
    assert not list(folder.rglob(".old*"))
    assert len(list(folder.rglob(".young*"))) == 4
    assert [f for f in files(opened) if "young" not in f] == before


def test_what_is_forgotten_twice_is_forgotten(opened: ReferenceStore) -> None:
    for _ in range(2):
        delete_photographs(opened.storage, "oak", [id_number(1)])
    assert files(opened) == ["fingerprints/2", "fingerprints/3", "images/2", "images/3"]
