"""A store's behaviour, in a folder and on a real S3 server."""

import contextlib
import dataclasses
import errno
import json
import multiprocessing
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from dgad.errors import (
    ConflictError,
    DataError,
    GoneStoreError,
    MissingError,
    SettingsError,
    StoreError,
    UnwritableStoreError,
)
from dgad.references import history
from dgad.references.domain import Change, DomainSettings, Enrolment, Upload
from dgad.references.photographs import id_of
from dgad.references.plan import Plan
from dgad.references.store import ReferenceStore
from tests.dgad.references.photographs import id_number, picture, upload, upload_of
from tests.s3_server import S3Server

SETTINGS = DomainSettings()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ReferenceStore:
    """An empty store of either kind."""
    if request.param == "folder":
        return ReferenceStore(tmp_path / "store")
    server: S3Server = request.getfixturevalue("s3")
    return ReferenceStore(server.uri(f"shelf/{tmp_path.name}"))


@pytest.fixture
def local(tmp_path: Path) -> ReferenceStore:
    """An empty store in a folder, with the domain `oak`."""
    store = ReferenceStore(tmp_path / "store")
    store.create("oak", SETTINGS, author="anna")
    return store


def enrol(
    store: ReferenceStore,
    numbers: Sequence[int],
    *,
    domain: str = "oak",
    key: str | None = None,
    max_references: int = 100,
) -> Enrolment:
    """Plan and commit."""
    plan = store.plan_enrolment(
        domain,
        [upload(n) for n in numbers],
        author="anna",
        idempotency_key=key,
        max_references=max_references,
    )
    return plan if isinstance(plan, Enrolment) else store.commit(plan)


def numbers_of(store: ReferenceStore, domain: str = "oak", within: int = 40) -> list[int]:
    """The current references as numbers of photographs."""
    by_id = {id_number(n): n for n in range(within)}
    return [by_id[r.id] for r in store.head(domain).references]


def test_another_reader_sees_each_change_at_once(store: ReferenceStore) -> None:
    reader = ReferenceStore(store.location)
    assert reader.domains() == ()
    with pytest.raises(MissingError, match="create it first"):
        reader.head("oak")
    store.create("oak", SETTINGS, author="anna")
    assert reader.head("oak").version == 0
    assert reader.domains() == ("oak",)
    first = enrol(store, [1, 2])
    assert (first.version, first.sequence, first.is_repeated) == (1, 2, False)
    assert numbers_of(reader) == [1, 2]
    assert reader.image("oak", id_number(2)) == upload(2).data
    second = enrol(store, [2, 3])
    assert (second.version, second.already_there) == (2, (id_number(2),))
    assert [r.id for r in second.added] == [id_number(3)]
    assert [r.name for r in reader.head("oak").references] == ["part 1.png", "part 2.png", "part 3.png"]
    store.remove("oak", id_number(1), author="bert")
    assert numbers_of(reader) == [2, 3]
    assert reader.image("oak", id_number(1)) == upload(1).data  # an older version has it
    store.rollback("oak", 1, author="bert")
    assert (reader.head("oak").version, numbers_of(reader)) == (1, [1, 2])
    assert enrol(store, [4]).version == 4
    actions = [c.action for c in reader.log("oak")]
    assert actions == ["create", "enroll", "enroll", "remove", "rollback", "enroll"]
    assert [c.sequence for c in reader.log("oak")] == [1, 2, 3, 4, 5, 6]
    versions = reader.versions("oak")
    assert [(v.number, len(v.references), v.is_current) for v in versions] == [
        (1, 2, False),
        (2, 3, False),
        (3, 2, False),
        (4, 3, True),
    ]
    assert [v.author for v in versions] == ["anna", "anna", "bert", "anna"]


def test_purged_is_gone_from_every_version_and_from_the_disk(store: ReferenceStore) -> None:
    store.create("oak", SETTINGS, author="anna")
    enrol(store, [1, 2])
    enrol(store, [3])
    change = store.purge("oak", id_number(1), author="anna")
    assert (change.version, numbers_of(store)) == (3, [2, 3])
    assert [(len(v.references), v.num_purged) for v in store.versions("oak")] == [(1, 1), (2, 1), (2, 0)]
    assert not [
        n
        for f in ("images", "fingerprints")
        for n in store.storage.sizes(f"domains/oak/{f}")
        if id_number(1) in n
    ]
    with pytest.raises(MissingError, match="no reference"):
        store.image("oak", id_number(1))
    with pytest.raises(MissingError, match="no reference"):
        store.purge("oak", id_number(1), author="anna")
    store.rollback("oak", 1, author="anna")
    assert numbers_of(store) == [2]
    # Of the current version it was no part: that one stays.
    change = store.purge("oak", id_number(3), author="anna")
    assert change.version == 1
    # To enrol it again is a new decision; what it was purged from stays without it.
    enrol(store, [1])
    assert store.image("oak", id_number(1)) == upload(1).data
    assert [len(v.references) for v in store.versions("oak")] == [1, 1, 1, 2]


def written_of(store: ReferenceStore, domain: str = "oak") -> str:
    """All that the domain's log says, as it lies there."""
    names = store.storage.sizes(f"domains/{domain}/changes")
    return "\n".join((store.storage.read(n) or b"").decode() for n in names)


def test_the_log_keeps_neither_name_nor_digest_of_what_was_purged(store: ReferenceStore) -> None:
    store.create("oak", SETTINGS, author="anna")
    first, second = uploads = [upload(1), upload_of(picture(1), "secret.png", "JPEG", quality=95)]
    plan = store.plan_enrolment("oak", uploads, author="anna", idempotency_key="k")
    assert isinstance(plan, Plan)
    store.commit(plan)
    enrol(store, [3])
    gone = id_of(first.data)
    assert store.head("oak").references[1].near_duplicate_of == gone
    assert gone in written_of(store)
    store.remove("oak", gone, author="anna")
    change = store.purge("oak", gone, author="bert")
    assert gone not in written_of(store)
    assert first.name not in written_of(store)
    assert "secret.png" in written_of(store)
    assert gone not in str(store.__dict__) + str(vars(store._log)), "nor is it kept in memory"
    assert change == store.head("oak") == store.log("oak")[-1]
    assert (change.action, change.author, bool(change.made_at)) == ("purge", "bert", True)
    found = [(v.number, len(v.references), v.num_purged) for v in store.versions("oak")]
    assert found == [(1, 1, 1), (2, 2, 1), (3, 2, 0)]
    assert ReferenceStore(store.location).versions("oak") == store.versions("oak")
    again = store.plan_enrolment("oak", uploads, author="anna", idempotency_key="k")
    assert isinstance(again, Enrolment)
    assert again.is_repeated, "what was purged does not come back by a request that is repeated"
    store.purge("oak", id_of(second.data), author="anna")
    assert "secret.png" not in written_of(store)
    assert [v.num_purged for v in store.versions("oak")] == [2, 2, 1, 0]


def test_the_log_of_a_deleted_domain_names_no_photograph(store: ReferenceStore) -> None:
    store.create("oak", SETTINGS, author="anna")
    enrol(store, [1, 2])
    store.delete("oak", author="bert")
    assert not any(id_number(n) in written_of(store) or upload(n).name in written_of(store) for n in (1, 2))
    store.create("oak", SETTINGS, author="anna")
    assert [(c.action, c.author) for c in store.log("oak")][2] == ("delete", "bert")


def test_what_an_earlier_version_purged_goes_from_the_log_with_the_next(local: ReferenceStore) -> None:
    enrol(local, [1, 2, 3])
    purged = history.next_change(
        local.head("oak"),
        "purge",
        "anna",
        version=2,
        references=local.head("oak").references[1:],
        details={"purged": [id_number(1)]},
    )
    assert local._log.append("oak", purged)
    assert [v.num_purged for v in local.versions("oak")] == [1, 0]
    local.purge("oak", id_number(2), author="bert")
    assert not any(id_number(n) in written_of(local) for n in (1, 2))
    assert [v.num_purged for v in ReferenceStore(local.location).versions("oak")] == [2, 1, 0]


def test_a_deleted_domain_is_gone_and_its_numbers_go_on(store: ReferenceStore) -> None:
    store.create("oak", SETTINGS, author="anna")
    enrol(store, [1, 2], key="k")
    reader = ReferenceStore(store.location)
    assert reader.head("oak").version == 1
    assert store.delete("oak", author="anna").is_deleted
    assert reader.domains() == ()
    assert store.storage.sizes("domains/oak/images") == {}
    for ask in (reader.head, reader.log, reader.versions):
        with pytest.raises(MissingError, match="no domain"):
            ask("oak")
    with pytest.raises(MissingError, match="no domain"):
        reader.image("oak", id_number(1))
    with pytest.raises(MissingError, match="no domain"):
        store.delete("oak", author="anna")
    with pytest.raises(MissingError, match="no domain"):
        enrol(store, [1])
    again = store.create("oak", DomainSettings(note="second life"), author="anna")
    assert (again.sequence, again.version, again.references) == (4, 0, ())
    assert store.versions("oak") == ()
    with pytest.raises(MissingError, match="no version 1; it has: none yet"):
        store.rollback("oak", 1, author="anna")
    repeated = enrol(store, [1, 2], key="k")  # of another life
    assert (repeated.version, repeated.sequence, repeated.is_repeated) == (2, 5, False)
    assert [c.action for c in reader.log("oak")] == ["create", "enroll", "delete", "create", "enroll"]


def test_what_is_so_already_is_not_written(local: ReferenceStore) -> None:
    assert local.create("oak", SETTINGS, author="bert").sequence == 1
    changed = local.create("oak", dataclasses.replace(SETTINGS, false_alarm_rate=0.1), author="bert")
    assert (changed.sequence, changed.action, changed.version) == (2, "settings", 0)
    enrol(local, [1])
    assert enrol(local, [1]) == Enrolment(version=1, sequence=3, added=(), already_there=(id_number(1),))
    assert local.rollback("oak", 1, author="anna").sequence == 3
    assert local.head("oak").settings.false_alarm_rate == 0.1


def test_a_repeated_request_is_answered_as_before(store: ReferenceStore) -> None:
    store.create("oak", SETTINGS, author="anna")
    enrol(store, [9])
    first = enrol(store, [1, 9], key="one")
    enrol(store, [3], key="two")
    store.remove("oak", id_number(1), author="anna")
    for asked in (store, ReferenceStore(store.location)):  # as after a crash right after the commit
        assert enrol(asked, [1, 9], key="one") == dataclasses.replace(first, is_repeated=True)
    assert store.head("oak").sequence == 5
    with pytest.raises(ConflictError, match="use a new key"):
        enrol(store, [4], key="one")
    # Without a key the same photograph comes back.
    assert enrol(store, [1]).version == 5


def test_planned_photographs_are_not_seen_before_they_are_committed(local: ReferenceStore) -> None:
    plan = local.plan_enrolment("oak", [upload(1), upload(2), upload(1)], author="anna")
    assert isinstance(plan, Plan)
    assert [r.id for r in plan.references] == [id_number(1), id_number(2)]
    assert plan.new_uploads == (upload(1), upload(2))
    with pytest.raises(MissingError):
        local.image("oak", id_number(1))
    local.abandon(plan)
    assert local.storage.sizes("domains/oak/images") == {}
    local.commit(plan)  # brings them back
    assert local.image("oak", id_number(1)) == upload(1).data


def test_a_plan_overtaken_is_made_anew(local: ReferenceStore) -> None:
    other = ReferenceStore(local.location)
    plan = local.plan_enrolment("oak", [upload(1), upload(2)], author="anna", idempotency_key="k")
    same = other.plan_enrolment("oak", [upload(1), upload(2)], author="anna", idempotency_key="k")
    assert isinstance(plan, Plan)
    assert isinstance(same, Plan)
    enrol(other, [3, 1])
    done = local.commit(plan)
    assert numbers_of(local) == [3, 1, 2]
    assert (done.version, done.already_there) == (2, (id_number(1),))
    assert other.commit(same) == dataclasses.replace(done, is_repeated=True)
    late = other.plan_enrolment("oak", [upload(n) for n in range(4, 8)], author="anna", max_references=8)
    assert isinstance(late, Plan)
    enrol(local, [10, 11])
    with pytest.raises(ConflictError, match="has 5 references and would have 9, more than the 8 allowed"):
        other.commit(late)
    assert len(local.storage.sizes("domains/oak/images")) == 5  # nothing of it stays behind


def test_a_purge_between_plan_and_commit_loses_nothing(local: ReferenceStore) -> None:
    enrol(local, [1])
    plan = local.plan_enrolment("oak", [upload(1), upload(2)], author="anna")
    assert isinstance(plan, Plan)
    ReferenceStore(local.location).purge("oak", id_number(1), author="bert")
    local.commit(plan)
    assert numbers_of(local) == [1, 2]
    assert local.image("oak", id_number(1)) == upload(1).data


def test_a_purge_while_the_same_photograph_comes_again_leaves_nothing(
    local: ReferenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(local, [1, 2])

    def overtaken(domain: str, uploads: Sequence[Upload]) -> list[Upload]:
        ReferenceStore(local.location).purge("oak", id_number(1), author="bert")
        return list(uploads)

    monkeypatch.setattr(local._photographs, "list_incomplete", overtaken)
    assert enrol(local, [1]).added == ()  # it was there when it was asked
    assert local.storage.sizes("domains/oak/images").keys() == {f"domains/oak/images/{id_number(2)}"}


def test_without_a_lock_the_loser_of_a_sequence_tries_again(
    local: ReferenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ReferenceStore(local.location)
    append = local._log.append
    results = []

    def overtaken(domain: str, change: Change) -> bool:
        if len(results) < 2:
            enrol(other, [10 + len(results)])
        results.append(append(domain, change))
        return results[-1]

    for store in (local, other):
        monkeypatch.setattr(store.locks, "hold", lambda domain: contextlib.nullcontext())
    monkeypatch.setattr(local._log, "append", overtaken)
    assert enrol(local, [1]).version == 3
    assert results == [False, False, True]
    assert numbers_of(other) == [10, 11, 1]


def test_limits_are_said_in_one_sentence(local: ReferenceStore) -> None:
    enrol(local, [1, 2], max_references=2)
    with pytest.raises(ConflictError, match="has 2 references and would have 3, more than the 2 allowed"):
        enrol(local, [1, 2, 3], max_references=2)
    assert enrol(local, [1], max_references=2).added == ()


@pytest.mark.parametrize("name", ["", "../oak", "oak/../elm", "Oak", "o" * 65, ".oak", "oak\n", "a\0b"])
def test_names_that_are_no_domain_reach_no_path(local: ReferenceStore, name: str) -> None:
    calls = (
        lambda: local.head(name),
        lambda: local.log(name),
        lambda: local.versions(name),
        lambda: local.image(name, id_number(1)),
        lambda: local.create(name, SETTINGS, author="anna"),
        lambda: enrol(local, [1], domain=name),
        lambda: local.remove(name, id_number(1), author="anna"),
        lambda: local.purge(name, id_number(1), author="anna"),
        lambda: local.rollback(name, 1, author="anna"),
        lambda: local.delete(name, author="anna"),
    )
    for call in calls:
        with pytest.raises(SettingsError, match="A domain's name must be"):
            call()
    assert local.domains() == ("oak",)


def test_ids_and_image_names_are_no_paths(local: ReferenceStore) -> None:
    (Path(local.location) / "domains/oak/secret").write_bytes(b"secret")
    for wrong in ("../secret", "../../oak/secret", "A" * 64, id_number(1) + "\n", "", id_number(1)[:-1]):
        with pytest.raises(MissingError, match="no reference"):
            local.image("oak", wrong)
        for act in (local.remove, local.purge):
            with pytest.raises(MissingError, match="no reference"):
                act("oak", wrong, author="anna")
    names = ["../../../../tmp/x.png", "a/b\\c\0.png", "\udcff.png", "名前.png", "x" * 5000]
    uploads = [dataclasses.replace(upload(n), name=name) for n, name in enumerate(names)]
    plan = local.plan_enrolment("oak", uploads, author="an\nna")
    assert isinstance(plan, Plan)
    local.commit(plan)
    fresh = ReferenceStore(local.location)
    assert [r.name for r in fresh.head("oak").references] == names
    assert {n.rsplit("/", 1)[-1] for n in fresh.storage.sizes("domains/oak/images")} == {
        id_number(n) for n in range(5)
    }


def test_the_same_photograph_stored_again_is_marked(local: ReferenceStore) -> None:
    enrol(local, [1, 2])
    copy = upload_of(picture(1), "copy.jpg", "JPEG", quality=90)
    another = upload_of(picture(1), "another.jpg", "JPEG", quality=95)
    plan = local.plan_enrolment("oak", [copy, upload(3)], author="anna")
    assert isinstance(plan, Plan)
    done = local.commit(plan)
    assert [r.near_duplicate_of for r in done.added] == [id_number(1), None]
    # By a process that keeps nothing in memory, of photographs whose thumbnails are gone.
    for name in local.storage.sizes("domains/oak/fingerprints"):
        local.storage.delete(name)
    fresh = ReferenceStore(local.location)
    plan = fresh.plan_enrolment("oak", [another], author="anna")
    assert isinstance(plan, Plan)
    (added,) = fresh.commit(plan).added
    assert added.near_duplicate_of in (id_number(1), done.added[0].id)
    # The first leaves: the others are near duplicates of each other still.
    left = {r.name: r for r in local.remove("oak", id_number(1), author="anna").references}
    assert left["copy.jpg"].near_duplicate_of is None
    assert left["another.jpg"].near_duplicate_of == left["copy.jpg"].id


def change_file(store: ReferenceStore, sequence: int, domain: str = "oak") -> Path:
    """Where a change of a local store lies."""
    return Path(store.location) / f"domains/{domain}/changes/{sequence:08d}.json"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"[]",
        lambda data: b'{"format_version": 1}',
        lambda data: data.replace(b'"by": "anna"', b'"by": "eve"'),
        lambda data: b"\xff" + data[1:],
    ],
)
def test_a_damaged_change_is_named_and_harms_no_other_domain(
    local: ReferenceStore, damage: "type[bytes]"
) -> None:
    local.create("elm", SETTINGS, author="anna")
    enrol(local, [1], domain="elm")
    enrol(local, [1, 2])
    path = change_file(local, 2)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    fresh = ReferenceStore(local.location)
    with pytest.raises(StoreError, match=r"domains/oak/changes/00000002.json is damaged .* backup"):
        fresh.head("oak")
    with pytest.raises(StoreError, match=r"00000002.json is damaged"):
        enrol(fresh, [3])
    assert fresh.domains() == ("elm",)
    assert "00000002.json" in fresh.damaged()["oak"]
    fresh.finish_interrupted()
    assert enrol(fresh, [2], domain="elm").version == 2
    path.write_bytes(whole)
    assert numbers_of(fresh) == [1, 2]
    assert fresh.image("oak", id_number(1)) == upload(1).data
    path.unlink()  # as the message says
    assert ReferenceStore(local.location).head("oak").sequence == 1


def test_a_missing_change_in_the_middle_is_named(local: ReferenceStore) -> None:
    enrol(local, [1])
    enrol(local, [2])
    change_file(local, 2).unlink()
    fresh = ReferenceStore(local.location)
    assert numbers_of(fresh) == [1, 2]  # what scoring needs is in the last one
    with pytest.raises(StoreError, match=r"00000002.json is damaged .it is missing"):
        fresh.versions("oak")


def test_a_damaged_photograph_is_named_and_mended_by_enrolling_it_again(local: ReferenceStore) -> None:
    enrol(local, [1])
    path = Path(local.location) / f"domains/oak/images/{id_number(1)}"
    path.write_bytes(b"\x89PNG")
    with pytest.raises(StoreError, match=f"{id_number(1)} is damaged"):
        local.image("oak", id_number(1))
    assert enrol(local, [1]).added == ()
    assert local.image("oak", id_number(1)) == upload(1).data


def test_a_newer_format_is_refused(local: ReferenceStore) -> None:
    path = change_file(local, 1)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "format_version": 3, "sha256": "?"}))
    with pytest.raises(StoreError, match="format version 3, newer than 2"):
        ReferenceStore(local.location).head("oak")
    (Path(local.location) / "store.json").write_text('{"format_version": 7}')
    with pytest.raises(StoreError, match="format version 7, newer than 1"):
        ReferenceStore(local.location)
    (Path(local.location) / "store.json").write_text("{")
    with pytest.raises(StoreError, match=r"store.json is damaged: put .* in its place"):
        ReferenceStore(local.location)


@pytest.mark.parametrize("gone", ["", "domains/oak"], ids=["the whole store", "the domain's folder"])
def test_what_is_removed_while_it_is_in_use_is_not_written_to(local: ReferenceStore, gone: str) -> None:
    enrol(local, [1])
    folder = Path(local.location) / gone
    shutil.rmtree(folder)
    for write in (
        lambda: enrol(local, [2]),
        lambda: local.create("oak", dataclasses.replace(SETTINGS, note="new"), author="anna"),
        lambda: local.delete("oak", author="anna"),
    ):
        with pytest.raises(GoneStoreError, match=r"removed, replaced or unmounted .* put it back"):
            write()
    assert not [p for p in folder.rglob("*.json") if p.is_file()]
    if not gone:
        assert not folder.exists(), "nothing is made where a disk may be mounted again"
        local.forget()
        for read in (lambda: local.head("oak"), local.domains, lambda: local.versions("oak")):
            with pytest.raises(GoneStoreError):
                read()


def test_a_full_disk_is_told_as_what_could_not_be_written(
    local: ReferenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    enrol(local, [1])
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fill)
        with pytest.raises(
            UnwritableStoreError, match=r"cannot be written \(No space left on device\)"
        ) as told:
            enrol(local, [2])
    assert told.value.reason == "No space left on device"
    assert numbers_of(ReferenceStore(local.location)) == [1]


def test_reading_makes_nothing_and_places_that_cannot_be_are_refused(tmp_path: Path) -> None:
    store = ReferenceStore(tmp_path / "store")
    assert store.domains() == ()
    store.finish_interrupted()
    for write in (
        lambda: store.remove("oak", id_number(1), author="anna"),
        lambda: store.delete("oak", author="anna"),
        lambda: store.rollback("oak", 1, author="anna"),
        lambda: enrol(store, [1]),
    ):
        with pytest.raises(MissingError):
            write()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="must be a folder"):
        ReferenceStore(tmp_path / "file")
    with pytest.raises(StoreError, match="cannot be used"):
        ReferenceStore("nosuch://place")


def _enrol_many(location: str, first: int, count: int) -> None:
    store = ReferenceStore(location)
    for number in range(first, first + count):
        enrol(store, [number])


def test_two_writers_lose_nothing(local: ReferenceStore) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_enrol_many, args=(local.location, n, 12)) for n in (0, 12)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert sorted(numbers_of(local)) == list(range(24))
    log = local.log("oak")
    assert [c.sequence for c in log] == list(range(1, 26))
    assert [c.version for c in log] == list(range(25))
    assert all(local.image("oak", id_number(n)) == upload(n).data for n in range(24))


def test_many_uploads_in_one_request_make_one_version(local: ReferenceStore) -> None:
    uploads: list[Upload] = [upload(n) for n in range(40)]
    plan = local.plan_enrolment("oak", uploads, author="anna")
    assert isinstance(plan, Plan)
    assert local.commit(plan).version == 1
    assert numbers_of(local) == list(range(40))
    assert all(r.near_duplicate_of is None for r in local.head("oak").references)


def test_a_region_is_a_version_that_one_can_go_back_from(local: ReferenceStore) -> None:
    triangle = {"polygons": [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]]}
    early = local.set_region("oak", triangle, author="anna")
    assert (early.action, early.version) == ("region", 0), "nothing is enrolled yet"
    plan = local.plan_enrolment("oak", [upload(1)], author="anna")
    assert isinstance(plan, Plan)
    local.commit(plan)
    cleared = local.set_region("oak", None, author="ben")
    assert (cleared.version, cleared.settings.region) == (2, None)
    assert [v.region for v in local.versions("oak")] == [triangle, None]
    assert local.rollback("oak", 1, author="anna").settings.region == triangle
    again = ReferenceStore(local.location)
    assert again.head("oak").settings.region == triangle
    with pytest.raises(DataError, match="covers nothing"):
        local.set_region("oak", {"polygons": [[[0.0, 0.0]] * 3]}, author="anna")
