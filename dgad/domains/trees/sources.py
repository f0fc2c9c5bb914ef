"""The sidecar `sources.json`: which photograph each image of a domain was cut from."""

import json
import os
import posixpath
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dgad.domains.decoding import read_file
from dgad.domains.problems import Problem
from dgad.errors import ImageError
from dgad.files import broken_link
from dgad.names import is_utf8

SOURCES_FILE = "sources.json"
"""Optional, in a domain's folder: a list of objects with `file` and `source`, the photograph."""
_EXPECTED = 'a list of objects such as {"file": "train/good/000.png", "source": "IMG_0001.jpg"}'
_MAX_SHOWN = 80


def read_sources(folder: str, files: Collection[str]) -> tuple[dict[str, str], tuple[Problem, ...]]:
    """Photograph by image, of the images `files` of a domain, and what is wrong with its sidecar.

    An entry counts for the one image it can mean, where it is spelt with backslashes, from `./`, with the
    domain's folder in front or in another case; a whole number as `source` is the photograph of that name.
    Empty without a sidecar.
    """
    path = os.path.join(folder, SOURCES_FILE)
    if not os.path.lexists(path):
        return {}, ()
    name = os.path.basename(folder)
    if (message := broken_link(path)) is not None:
        return {}, (_fatal(name, path, message),)
    try:
        data = read_file(path)
        text = data.decode(json.detect_encoding(data))
        entries = list(_entries(text))
    except ImageError as error:
        return {}, (_fatal(name, path, str(error).removeprefix(f"{path} ").rstrip(".")),)
    except (ValueError, RecursionError) as error:
        return {}, (_fatal(name, path, f"is not JSON ({error}); write {_EXPECTED}, or remove it"),)
    except TypeError as error:
        return {}, (_fatal(name, path, f"must hold {_EXPECTED}, but holds {error}"),)
    return _match(entries, _Spellings(name, files), name, path)


def _match(
    entries: list[tuple[int, Any]], spellings: "_Spellings", name: str, path: str
) -> tuple[dict[str, str], tuple[Problem, ...]]:
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    problems: list[Problem] = []
    for line, entry in entries:
        pair = _pair(entry)
        if pair is None:
            message = f"has in line {line} {_shown(entry)}, which protects nothing; expected {_EXPECTED}"
            problems.append(_warning("unread_source", name, path, message))
            continue
        file, source = pair
        image = spellings.find(file)
        if image is None:
            hint = spellings.hint(file)
            message = f"names in line {line} {_shown(file)}, which is no image of this domain{hint}"
            problems.append(_warning("source_without_image", name, path, message))
        elif found.setdefault(image, source) != source:
            message = (
                f"gives {image} two photographs, {_shown(found[image])} in line {lines[image]} and"
                f" {_shown(source)} in line {line}; leave one"
            )
            problems.append(_fatal(name, path, message))
        else:
            lines.setdefault(image, line)
    if entries and not found:
        message = f"protects nothing: none of its {len(entries)} entries names an image of this domain"
        problems.insert(0, _fatal(name, path, f"{message}; expected {_EXPECTED}, or remove it"))
    return found, tuple(problems)


class _Spellings:
    """Images of a domain by every way to write their path that can mean no other."""

    def __init__(self, domain: str, files: Collection[str]) -> None:
        self._domain = domain.casefold()
        self._files = frozenset(files)
        self._example = min(files, default="")
        self._by_case: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for file in sorted(files):
            self._by_case.setdefault(file.casefold(), []).append(file)
            self._by_stem.setdefault(posixpath.splitext(file.casefold())[0], []).append(file)

    def find(self, written: str) -> str | None:
        """The image that is meant, or None where none, or more than one, can be."""
        if written in self._files:
            return written
        for way in self._ways(written):
            if way in self._files:
                return way
            alike = self._by_case.get(way.casefold(), [])
            if len(alike) == 1:
                return alike[0]
        return None

    def hint(self, written: str) -> str:
        """What is there instead, to go on with in a sentence; empty where nothing is like it."""
        for way in self._ways(written):
            alike = self._by_case.get(way.casefold(), [])
            if len(alike) > 1:
                return f"; it could be {' or '.join(alike)}"
            alike = self._by_stem.get(posixpath.splitext(way.casefold())[0], [])
            if alike:
                return f"; did you mean {alike[0]}?"
        return f"; paths are relative to the domain's folder, such as {self._example}"

    def _ways(self, written: str) -> Iterator[str]:
        plain = posixpath.normpath(written.strip().replace("\\", "/"))
        yield plain
        parts = plain.split("/")
        for index, part in reversed(list(enumerate(parts))):  # also an absolute path, or one from above
            if part.casefold() == self._domain:
                yield "/".join(parts[index + 1 :])


def _entries(text: str) -> Iterator[tuple[int, Any]]:
    """(line, value) of every element of the JSON list; `TypeError` names what else it is."""
    text = text.removeprefix("\ufeff")
    whole = json.loads(text)  # whose errors say where
    if not isinstance(whole, list):
        raise TypeError(_shown(whole))
    decoder = json.JSONDecoder()
    at, line = text.index("[") + 1, 1 + text.count("\n", 0, text.index("[") + 1)
    for _ in whole:
        start = at
        while text[at] in " \t\r\n,":
            at += 1
        line += text.count("\n", start, at)
        value, end = decoder.raw_decode(text, at)
        yield line, value
        line += text.count("\n", at, end)
        at = end


def _pair(entry: Any) -> tuple[str, str] | None:
    """(file, source) of an entry, or None where it says neither."""
    if not isinstance(entry, Mapping):
        return None
    file, source = entry.get("file"), entry.get("source")
    if isinstance(source, int) and not isinstance(source, bool):
        source = str(source)
    if not (isinstance(file, str) and isinstance(source, str) and file and source):
        return None
    return (file, source) if is_utf8(source) else None  # JSON can write half a character; nobody can keep it


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} ..."


def _fatal(name: str, path: str, message: str) -> Problem:
    return Problem(severity="fatal", code="bad_sources", domain=name, path=path, message=message)


def _warning(code: str, name: str, path: str, message: str) -> Problem:
    return Problem(severity="warning", code=code, domain=name, path=path, message=message)
