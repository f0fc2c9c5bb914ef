"""API keys of a store: shown once, kept as hashes, with a scope each."""

import contextlib
import dataclasses
import hashlib
import hmac
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock

from dgad.errors import ConflictError, MissingError, SettingsError, StoreError
from dgad.provenance import utc_now
from dgad.storage import Storage

Scope = Literal["read", "write"]

_KEYS_FILE = "keys.json"
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
    """The keys of one store. Every process reads them again when they change."""

    def __init__(self, store: str | Path) -> None:
        self._storage = Storage(store)
        self._lock = threading.Lock()
        self._keys: tuple[Key, ...] = ()
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
        """No request with it is answered any more; `MissingError` if there is none of that name."""
        with self._change_keys() as keys:
            kept = [key for key in keys if key.name != name]
            if len(kept) == len(keys):
                raise MissingError(f"There is no key {name[:80]!r}; `list` shows those there are.")
            keys[:] = kept

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
    def is_empty(self) -> bool:
        """Whether there is no key, by what was last read."""
        return not self._keys

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
            self._keys = _parse(self._storage.read(_KEYS_FILE), self._storage.path(_KEYS_FILE))
            self._stamp, self._read_at = stamp, time.monotonic()

    def _current_stamp(self) -> object:
        try:
            found = os.stat(self._storage.path(_KEYS_FILE))
        except OSError:
            return "none"
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    @contextlib.contextmanager
    def _change_keys(self) -> Iterator[_Keys]:
        """The keys, to be changed in place: by one process at a time on a local disk."""
        with self._file_lock():
            data = self._storage.read(_KEYS_FILE)
            keys = list(_parse(data, self._storage.path(_KEYS_FILE)))
            yield keys
            entries = [dataclasses.asdict(key) for key in keys]
            text = json.dumps({"format_version": FORMAT_VERSION, "keys": entries}, indent=1)
            self._storage.write(_KEYS_FILE, text.encode())
        self._stamp, self._read_at = None, -float("inf")
        self.refresh()

    @contextlib.contextmanager
    def _file_lock(self) -> Iterator[None]:
        if not self._storage.is_local:
            yield
            return
        folder = Path(self._storage.location)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".keys.lock"):
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
            f"{path} is damaged, so no key can be checked: restore it, or make new keys."
        ) from None
