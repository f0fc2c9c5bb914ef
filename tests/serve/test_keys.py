"""API keys: kept as hashes, read again when they change, on a disk and on an object store."""

import concurrent.futures
import json
import re
from pathlib import Path

import pytest

from dgad.errors import ConflictError, MissingError, SettingsError, StoreError
from serve.keys import KeyRing
from tests.s3_server import S3Server


def test_a_key_is_told_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "store")
    assert ring.list() == ()
    token = ring.create("anna", "write")
    assert re.fullmatch(r"dgad_[A-Za-z0-9_-]{43}", token)
    text = (tmp_path / "store" / "keys.json").read_text()
    assert token not in text
    assert token.removeprefix("dgad_") not in text
    assert json.loads(text)["format_version"] == 1
    found = KeyRing(tmp_path / "store")
    found.refresh()
    key = found.check(token)
    assert key is not None
    assert (key.name, key.scope) == ("anna", "write")
    assert found.check(token[:-1]) is None
    assert found.check("") is None


def test_scopes(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    reader = ring.check(ring.create("r", "read"))
    writer = ring.check(ring.create("w", "write"))
    assert reader is not None
    assert writer is not None
    assert (reader.allows("read"), reader.allows("write")) == (True, False)
    assert (writer.allows("read"), writer.allows("write")) == (True, True)


def test_another_process_sees_new_and_revoked_keys(tmp_path: Path) -> None:
    mine, other = KeyRing(tmp_path), KeyRing(tmp_path)
    other.refresh()
    token = mine.create("anna", "read")
    assert other.is_stale
    other.refresh()
    assert other.check(token) is not None
    assert not other.is_stale
    mine.revoke("anna")
    other.refresh()
    assert other.check(token) is None
    assert other.is_closed


def test_a_store_that_had_keys_stays_closed_until_it_is_opened_in_writing(tmp_path: Path) -> None:
    def closed(location: Path = tmp_path) -> tuple[bool, bool]:
        ring = KeyRing(location)
        ring.refresh()
        return ring.is_closed, ring.is_lost

    assert closed() == (False, False), "it never had a key"
    running = KeyRing(tmp_path)
    running.create("anna", "write")
    assert closed() == (True, False)
    (tmp_path / "keys.json").rename(tmp_path / "elsewhere")
    assert closed() == (True, True), "the file is gone, as of a store that is half restored"
    (tmp_path / "elsewhere").rename(tmp_path / "keys.json")
    tmp_path.rename(tmp_path.with_name("unmounted"))
    running.refresh()
    assert (running.is_closed, running.is_lost) == (True, True), "what runs remembers"
    assert closed() == (False, False), "nobody can know: such a service is told --require-keys"
    tmp_path.with_name("unmounted").rename(tmp_path)
    with pytest.raises(ConflictError, match="anna"):
        running.open_to_all()
    running.revoke("anna")
    assert closed() == (True, False)
    running.open_to_all()
    assert closed() == (False, False)
    assert not running.is_closed
    (tmp_path / "keys.json").unlink()
    assert closed() == (False, False)
    running.create("bert", "read")
    (tmp_path / "keys.json").unlink()
    assert closed() == (True, True)


def test_what_a_service_was_told_holds_where_the_store_says_nothing(tmp_path: Path) -> None:
    for rule, lost in (("expected", True), ("required", False)):
        ring = KeyRing(tmp_path, rule=rule)  # type: ignore[arg-type]
        ring.refresh()
        assert (ring.is_closed, ring.is_lost) == (True, lost)
    KeyRing(tmp_path).open_to_all()
    for rule, closed in (("store", False), ("expected", False), ("required", True)):
        ring = KeyRing(tmp_path, rule=rule)  # type: ignore[arg-type]
        ring.refresh()
        assert ring.is_closed is closed


def test_keys_of_an_earlier_version_are_marked_when_they_are_first_read(tmp_path: Path) -> None:
    KeyRing(tmp_path).create("anna", "write")
    (tmp_path / "keys_rule.json").unlink()
    KeyRing(tmp_path).refresh()
    (tmp_path / "keys.json").unlink()
    ring = KeyRing(tmp_path)
    ring.refresh()
    assert ring.is_closed
    (tmp_path / "keys_rule.json").write_text("{")
    with pytest.raises(StoreError, match=r"keys_rule\.json"):
        KeyRing(tmp_path).refresh()
    KeyRing(tmp_path).create("bert", "read")  # mends it
    KeyRing(tmp_path).refresh()


def test_names_and_scopes_that_cannot_be(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    ring.create("anna", "read")
    with pytest.raises(ConflictError, match="anna"):
        ring.create("anna", "write")
    with pytest.raises(MissingError, match="bert"):
        ring.revoke("bert")
    for name in ("", "a b", "a/b", "-a", "a" * 65):
        with pytest.raises(SettingsError, match="name"):
            ring.create(name, "read")
    with pytest.raises(SettingsError, match="scope"):
        ring.create("bert", "admin")  # type: ignore[arg-type]


def test_keys_made_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda i: KeyRing(tmp_path).create(f"key-{i}", "read"), range(16)))
    assert len(KeyRing(tmp_path).list()) == 16


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"format_version": 1, "keys": [{"name": "a"}]}',
        '{"format_version": 1, "keys": [{"name": "a", "scope": "all", "sha256": "é", "created_at": ""}]}',
        '{"format_version": 9, "keys": []}',
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_and_never_an_empty_ring(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(StoreError, match=r"keys\.json"):
        KeyRing(tmp_path).list()
    with pytest.raises(StoreError, match=r"keys\.json"):
        KeyRing(tmp_path).create("anna", "read")


def test_keys_on_an_object_store(s3: S3Server) -> None:
    location = s3.uri("shelf/keys-of-a-store")
    token = KeyRing(location).create("anna", "read")
    other = KeyRing(location)
    other.refresh()
    assert other.check(token) is not None
    other.revoke("anna")
    later = KeyRing(location)
    later.refresh()
    assert later.is_closed
    later.open_to_all()
    assert not later.is_closed
