"""API keys of a store: shown once, kept as hashes, with a scope each."""

import contextlib
import dataclasses
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock

from dgad.errors import ConflictError, DgadError, MissingError, SettingsError, StoreError
from dgad.provenance import utc_now
from dgad.storage import Storage
from serve.settings import KeysRule

_LOG = logging.getLogger("dgad.serve")

Scope = Literal["read", "write"]

_KEYS_FILE = "keys.json"
_RULE_FILE = "keys_rule.json"
"""Whether a store without keys is open: a store that ever had keys is not, until somebody says so."""
FORMAT_VERSION = 1
_PREFIX = "dgad_"
_NUM_RANDOM_BYTES = 32
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_REREAD_AFTER_S = 2.0
"""How old what was read from an object store may be: a revoked key is refused after that."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One key, without what it is: only its hash is kept."""

    name: str
    scope: Scope
    """`write` may do all that `read` may."""
    sha256: str
    created_at: str

    def allows(self, scope: Scope) -> bool:
        """Whether it may be used for that."""
        return self.scope == "write" or scope == "read"


_Keys = list[Key]


class KeyRing:
    """The keys of one store. Every process reads them again when they change.

    A store without any is open only if it never had one, or if `open_to_all` has put down that it is. What
    was seen once is remembered, so that a store that is unmounted opens nothing.
    """

    def __init__(self, store: str | Path, *, rule: KeysRule = "store") -> None:
        self._storage = Storage(store)
        self._rule = rule
        self._lock = threading.Lock()
        self._keys: tuple[Key, ...] = ()
        self._has_file = False
        self._is_said_open = False
        self._had_keys = rule == "expected"
        self._is_mark_refused = False
        self._stamp: object = None
        self._read_at = -float("inf")

    def create(self, name: str, scope: Scope) -> str:
        """A new key; it is told here once and never again."""
        if not _NAME.fullmatch(name):
            raise SettingsError(
                "A key's name must be 1 to 64 of letters, digits, and . _ @ -, and begin with a letter or"
                f" digit, but got {name[:80]!r}."
            )
        if scope not in ("read", "write"):
            raise SettingsError(f"A key's scope must be read or write, but got {scope!r}.")
        token = _PREFIX + secrets.token_urlsafe(_NUM_RANDOM_BYTES)
        with self._change_keys() as keys:
            if any(key.name == name for key in keys):
                raise ConflictError(f"There is a key {name!r} already: revoke it, or choose another name.")
            keys.append(Key(name=name, scope=scope, sha256=_hash_token(token), created_at=utc_now()))
        return token

    def revoke(self, name: str) -> None:
        """No request with it is answered any more; `MissingError` if there is none of that name.

        The last one leaves the store closed, until there is another or `open_to_all` opens it.
        """
        with self._change_keys() as keys:
            kept = [key for key in keys if key.name != name]
            if len(kept) == len(keys):
                raise MissingError(f"There is no key {name[:80]!r}; `list` shows those there are.")
            keys[:] = kept

    def open_to_all(self) -> None:
        """Put down that the store needs no key on loopback; `ConflictError` while there are keys."""
        with self._file_lock():
            data = self._storage.read(_KEYS_FILE)
            if names := [key.name for key in _parse(data, self._storage.path(_KEYS_FILE))]:
                raise ConflictError(f"There are keys ({', '.join(names)}): revoke them first.")
            self._write_rule("open")
        self._read_anew()

    def list(self) -> tuple[Key, ...]:
        """All keys, in the order they were made."""
        self.refresh()
        return self._keys

    def check(self, presented: str) -> Key | None:
        """The key that was presented, by what was last read; every hash is compared, in constant time."""
        hashed = _hash_token(presented)
        found = None
        for key in self._keys:
            if hmac.compare_digest(hashed, key.sha256):
                found = key
        return found

    @property
    def is_closed(self) -> bool:
        """Whether a key is needed even on loopback, by what was last read."""
        if self._keys or self._rule == "required":
            return True
        return self._had_keys and not self._is_said_open

    @property
    def is_lost(self) -> bool:
        """Whether the store had keys but has no file of them now, so that none can be checked."""
        return self._had_keys and not self._has_file and not self._is_said_open

    @property
    def is_stale(self) -> bool:
        """Whether `refresh` would read; cheap, and safe on an event loop for a store on a local disk."""
        if self._storage.is_local:
            return self._stamp is None or self._stamp != self._current_stamp()
        return time.monotonic() - self._read_at > _REREAD_AFTER_S

    def refresh(self) -> None:
        """Read them again if they may have changed; `StoreError` where the file is damaged."""
        with self._lock:
            if not self.is_stale:
                return
            # The stamp is from before the reading: a change in between is seen the next time.
            stamp = self._current_stamp() if self._storage.is_local else None
            data = self._storage.read(_KEYS_FILE)
            said = self._read_rule()
            try:
                keys = _parse(data, self._storage.path(_KEYS_FILE))
            except StoreError:
                self._mark_as_closed(said)
                raise
            if keys:
                self._mark_as_closed(said)
            self._keys, self._has_file = keys, data is not None
            self._is_said_open = said == "open"
            if self._is_said_open:
                self._had_keys = bool(keys)
            else:  # a file of keys, even of none, says that there were some
                self._had_keys = self._had_keys or self._has_file or said == "closed"
            self._stamp, self._read_at = stamp, time.monotonic()

    def _current_stamp(self) -> object:
        """None, which makes it be read again, where a file cannot be looked at."""
        stamps: list[object] = []
        for name in (_KEYS_FILE, _RULE_FILE):
            try:
                found = os.stat(self._storage.path(name))
                stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
            except (FileNotFoundError, NotADirectoryError):
                stamps.append("none")
            except OSError:
                return None
        return tuple(stamps)

    def _read_rule(self) -> str | None:
        data, path = self._storage.read(_RULE_FILE), self._storage.path(_RULE_FILE)
        if data is None:
            return None
        try:
            content: dict[str, Any] = json.loads(data)
            said = content["without_keys"]
            if int(content["format_version"]) <= FORMAT_VERSION and said in ("open", "closed"):
                return str(said)
        except (ValueError, KeyError, TypeError):
            pass
        raise StoreError(
            f"{path} cannot be understood, so it is not known whether the store is open: restore it, or make"
            " a key (`dgad-serve keys create`)."
        )

    def _write_rule(self, without_keys: Literal["open", "closed"]) -> None:
        content = {"format_version": FORMAT_VERSION, "without_keys": without_keys, "since": utc_now()}
        self._storage.write(_RULE_FILE, json.dumps(content, indent=1).encode())

    def _mark_as_closed(self, said: str | None) -> None:
        """Of a store whose keys an earlier version made; who may not write there serves it anyway."""
        self._had_keys = True
        if said == "closed" or self._is_mark_refused:
            return
        try:
            self._write_rule("closed")
        except (DgadError, OSError) as error:
            self._is_mark_refused = True
            _LOG.warning(
                "%s cannot be written (%s): were the keys lost, a service that is started then would not know"
                " that there were some; start it with --require-keys.",
                self._storage.path(_RULE_FILE),
                error,
            )

    def _read_anew(self) -> None:
        self._stamp, self._read_at = None, -float("inf")
        self.refresh()

    @contextlib.contextmanager
    def _change_keys(self) -> Iterator[_Keys]:
        """The keys, to be changed in place: by one process at a time on a local disk."""
        with self._file_lock():
            data = self._storage.read(_KEYS_FILE)
            keys = list(_parse(data, self._storage.path(_KEYS_FILE)))
            yield keys
            self._write_rule("closed")  # first: between the two writes the store is closed, never open
            entries = [dataclasses.asdict(key) for key in keys]
            text = json.dumps({"format_version": FORMAT_VERSION, "keys": entries}, indent=1)
            self._storage.write(_KEYS_FILE, text.encode(), private=True)
        self._read_anew()

    @contextlib.contextmanager
    def _file_lock(self) -> Iterator[None]:
        if not self._storage.is_local:
            yield
            return
        self._storage.make_folder()
        with FileLock(Path(self._storage.location) / ".keys.lock"):
            yield


def _hash_token(token: str) -> str:
    # A key has 256 random bits, so that one quick hash hides it as well as a slow one would.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _parse(data: bytes | None, path: str) -> tuple[Key, ...]:
    if data is None:
        return ()
    try:
        content: dict[str, Any] = json.loads(data)
        version = int(content["format_version"])
        if version > FORMAT_VERSION:
            raise StoreError(
                f"{path} is of format {version}, newer than this version's: install a newer dgad."
            )
        keys = tuple(Key(**entry) for entry in content["keys"])
        if not all(_SHA256.fullmatch(key.sha256) and key.scope in get_args(Scope) for key in keys):
            raise ValueError
        return keys
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            f"{path} is damaged, so no key can be checked: restore it, or remove it and make new keys."
        ) from None
