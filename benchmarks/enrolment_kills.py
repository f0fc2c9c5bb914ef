"""What becomes of acknowledged enrolments when the enrolling process is killed, again and again.

    python benchmarks/enrolment_kills.py --kills 200 [--seed 0] [--store DIR]

A process enrols photographs, removes, purges, rolls back, deletes and creates in a loop, and says before each
what will hold afterwards, and when it is done. It is killed (SIGKILL) at a random moment, also while it
finishes what the last one left. Then a new process opens the store and says what it finds: that must be the
state before the action that was broken off, or the one after it, with every photograph whole; an action that
was acknowledged must hold. An enrolment broken off is sent again with its idempotency key, and must count
once. Of purged photographs and deleted domains nothing may be left on the disk.
"""

import argparse
import dataclasses
import hashlib
import io
import itertools
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dgad.errors import MissingError, StoreError
from dgad.references.domain import DomainSettings, Enrolment, Upload
from dgad.references.duplicates import fingerprint
from dgad.references.enrolled_files import IDS, file_name
from dgad.references.store import ReferenceStore

_SIDE_PX = 64
_KILLS_A_PART = 20  # then other domains: their logs would take ever longer to read
_LONGEST_LIFE_S = 0.6
_MAX_REFERENCES = 60


def photograph(number: int) -> Upload:
    """Another one for each number; the same one in every process."""
    grain = np.random.default_rng(number).integers(0, 256, (_SIDE_PX, _SIDE_PX, 3), dtype=np.uint8)
    image = Image.fromarray(grain)
    file = io.BytesIO()
    image.save(file, "PNG")
    return Upload(
        name=f"{number}.png",
        data=file.getvalue(),
        width_px=_SIDE_PX,
        height_px=_SIDE_PX,
        fingerprint=fingerprint(image),
    )


# The process that is killed


def work(location: str, looked_at: list[str], domains: list[str], seed: int) -> None:
    """Say what is found, finish what was broken off, say it again, then act on `domains` until killed."""
    store = ReferenceStore(location)
    _say(event="found", **_found(store, looked_at))
    store.finish_interrupted()
    _say(event="finished", **_found(store, looked_at))
    again = json.loads(sys.stdin.readline())
    if again is not None:
        _enrol(store, again["domain"], again["numbers"], again["key"])
    draw = random.Random(seed)
    for count in itertools.count():
        _act(store, draw, draw.choice(domains), seed * 100_000 + count * 10)


def _say(**values: object) -> None:
    print(json.dumps(values), flush=True)


def _found(store: ReferenceStore, domains: list[str]) -> dict[str, Any]:
    """The current ids by domain (None: there is no such domain), and what is wrong."""
    current: dict[str, list[str] | None] = {}
    wrong: list[str] = []
    for domain in domains:
        try:
            current[domain] = [r.id for r in store.head(domain).references]
            for reference in {r.id: r for v in store.versions(domain) for r in v.references}.values():
                data = store.image(domain, reference.id)
                number = int(reference.name.removesuffix(".png"))
                if hashlib.sha256(data).hexdigest() != reference.id or data != photograph(number).data:
                    wrong.append(f"{domain}/{reference.id} has other bytes")
        except MissingError as error:
            if domain in current:
                wrong.append(str(error))
            current.setdefault(domain, None)
        except StoreError as error:
            wrong.append(str(error))
            current.setdefault(domain, None)
    return {"current": current, "wrong": wrong}


def _act(store: ReferenceStore, draw: random.Random, domain: str, number: int) -> None:
    """One action, announced and acknowledged."""
    try:
        ids = [r.id for r in store.head(domain).references]
    except MissingError:
        _done(domain, [], lambda: store.create(domain, DomainSettings(), author="kills"))
        return
    kind = draw.choices(["enrol", "again", "remove", "purge", "rollback", "delete"], [70, 4, 8, 8, 7, 3])[0]
    versions = store.versions(domain)
    if len(ids) > _MAX_REFERENCES:
        kind = "delete"
    if kind == "delete":
        _done(domain, None, lambda: store.delete(domain, author="kills"))
    elif kind == "enrol" or not ids:
        _enrol(store, domain, [number + i for i in range(draw.randint(1, 3))], f"key {number}")
    elif kind == "again":
        known = {r.id: r.name for v in versions for r in v.references}
        name = known[draw.choice(sorted(known))]
        _enrol(store, domain, [int(name.removesuffix(".png")), number], f"key {number}")
    elif kind == "rollback":
        version = draw.choice(versions)
        after = [r.id for r in version.references]
        _done(domain, after, lambda: store.rollback(domain, version.number, author="kills"))
    else:
        gone = draw.choice(ids)
        act = store.purge if kind == "purge" else store.remove
        purged = [gone] if kind == "purge" else []
        _done(domain, [i for i in ids if i != gone], lambda: act(domain, gone, author="kills"), purged=purged)


def _enrol(store: ReferenceStore, domain: str, numbers: list[int], key: str) -> None:
    uploads = [photograph(n) for n in numbers]
    ids = [r.id for r in store.head(domain).references]
    new = [i for u in uploads if (i := hashlib.sha256(u.data).hexdigest()) not in ids]

    def enrol() -> Enrolment:
        plan = store.plan_enrolment(domain, uploads, author="kills", idempotency_key=key)
        done = plan if isinstance(plan, Enrolment) else store.commit(plan)
        head = store.head(domain)
        header = json.dumps({"__metadata__": {IDS: json.dumps([r.id for r in head.references])}}).encode()
        made = file_name(domain, hashlib.sha256(header).hexdigest())
        store.storage.write(made, struct.pack("<Q", len(header)) + header)
        return done

    request = {"domain": domain, "numbers": numbers, "key": key}
    _done(domain, [*ids, *new], enrol, request=request, added=new)


def _done(domain: str, after: list[str] | None, act: Callable[[], object], **more: object) -> None:
    _say(event="try", domain=domain, after=after, **more)
    result = act()
    _say(event="ack", is_repeated=isinstance(result, Enrolment) and result.is_repeated)


# The process that kills


@dataclasses.dataclass(kw_only=True)
class Figures:
    """What came of it."""

    kills: int = 0
    kills_while_finishing: int = 0
    actions: int = 0
    broken_off: int = 0
    """Of which each is either done or not."""
    broken_off_but_done: int = 0
    enrolments_sent_again: int = 0
    acknowledged: int = 0
    """Photographs whose enrolment was acknowledged."""
    lost: int = 0
    """Of these, missing though nothing removed them."""
    unreadable: int = 0
    """Openings that found something damaged or missing."""
    wrong_states: int = 0
    """Openings that found neither the state before nor the one after."""
    left_behind: int = 0
    """Files of purged photographs or deleted domains or that name them, or unfinished ones that a reader
    lists."""
    seconds: float = 0.0
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Nothing lost, everything readable."""
        return not (self.lost or self.unreadable or self.wrong_states or self.left_behind)


class Model:
    """What must hold, from what the killed processes said."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures
        self.current: dict[str, list[str] | None] = {}
        self.purged: dict[str, set[str]] = {}
        self.pending: dict[str, Any] | None = None

    def hear(self, said: dict[str, Any]) -> None:
        """A line of the process."""
        if said["event"] == "try":
            self.pending = said
            self.figures.actions += 1
        elif said["event"] == "ack" and self.pending is not None:
            if said["is_repeated"] != self.pending.get("is_done", False):
                self.note("wrong_states", f"answered as repeated: {said['is_repeated']}; {self.pending}")
            self.figures.acknowledged += len(self.pending.get("added", ()))
            self._apply(self.pending)
            self.pending = None

    def compare(self, found: dict[str, Any]) -> None:
        """What a new process found, against what must hold."""
        if found["wrong"]:
            self.note("unreadable", "; ".join(found["wrong"]))
        for domain, ids in found["current"].items():
            before = self.current.get(domain)
            if ids == before:
                continue
            pending = self.pending
            if pending is not None and pending["domain"] == domain and ids == pending["after"]:
                self._apply(pending)
                pending["is_done"] = True
                self.figures.broken_off_but_done += 1
                continue
            self.note("wrong_states", f"{domain}: found {ids}, expected {before}, or after {pending}")
            self.figures.lost += len(set(before or ()) - set(ids or ()))
            self.current[domain] = ids

    def look_at_disk(self, store: Path) -> None:
        """Nothing may be left of what was removed for good."""
        for domain, purged in self.purged.items():
            folder = store / "domains" / domain
            for path in folder.rglob("*"):
                is_of_purged = path.name in purged or (
                    path.suffix == ".safetensors" and purged & set(_ids_in(path))
                )
                if path.parent.name == "changes" and path.is_file():
                    said = path.read_text(encoding="utf-8")
                    is_of_purged = any(reference_id in said for reference_id in purged)
                if is_of_purged or (
                    path.parent != folder and path.name.startswith(".") and ".tmp-" not in path.name
                ):
                    self.note("left_behind", str(path))

    def take_request(self) -> dict[str, Any] | None:
        """The enrolment that was broken off, to be sent again; its announcement says whether it is done."""
        pending, self.pending = self.pending, None
        return None if pending is None or "request" not in pending else pending

    def note(self, counter: str, text: str) -> None:
        """Count and keep what went wrong."""
        setattr(self.figures, counter, getattr(self.figures, counter) + 1)
        self.figures.notes.append(f"{counter}: {text}"[:2000])

    def _apply(self, said: dict[str, Any]) -> None:
        domain, after = said["domain"], said["after"]
        purged = self.purged.setdefault(domain, set())
        purged.update(said.get("purged", ()))
        if after is None:
            purged.update(self.current.get(domain) or ())
        purged.difference_update(after or ())
        self.current[domain] = after


def _ids_in(path: Path) -> list[str]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    ids: list[str] = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][IDS])
    return ids


def run(store: Path, *, kills: int, seed: int, longest_life_s: float = _LONGEST_LIFE_S) -> Figures:
    """Kill that often, and see."""
    figures = Figures()
    model = Model(figures)
    draw = random.Random(seed)
    begun = time.monotonic()
    for kill in range(kills + 1):  # the last one only looks
        part = kill // _KILLS_A_PART
        domains = [f"oak-{part}", f"elm-{part}"]
        before = model.current if kill == kills else [f"oak-{part - 1}", f"elm-{part - 1}"]
        looked_at = sorted({*domains, *(d for d in before if d in model.current)})
        _life(
            store,
            looked_at,
            domains,
            model,
            draw,
            seed=seed * 10_000 + kill,
            is_last=kill == kills,
            longest_life_s=longest_life_s,
        )
    figures.seconds = time.monotonic() - begun
    return figures


def _life(
    store: Path,
    looked_at: list[str],
    domains: list[str],
    model: Model,
    draw: random.Random,
    *,
    seed: int,
    is_last: bool,
    longest_life_s: float,
) -> None:
    """One process from its start to its death."""
    command = [
        sys.executable,
        __file__,
        "work",
        str(store),
        ",".join(looked_at),
        ",".join(domains),
        str(seed),
    ]
    # The same dgad as here, wherever that is imported from.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdin is not None
    assert process.stdout is not None
    lines = _lines(process.stdout)
    try:
        model.compare(_expect(next(lines, None), "found"))
        if not is_last and draw.random() < 0.2:
            model.figures.kills_while_finishing += 1
            model.figures.kills += 1
            time.sleep(draw.random() * 0.03)
            return
        finished = _expect(next(lines, None), "finished")
        model.compare(finished)
        model.look_at_disk(store)
        if is_last:
            return
        pending = model.take_request()
        request = None
        if pending is not None:
            model.figures.enrolments_sent_again += 1
            request = pending["request"]
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        killer = threading.Timer(draw.random() * longest_life_s, process.kill)
        killer.start()
        for said in lines:
            model.hear(said)
            if pending is not None and model.pending is not None:
                model.pending["is_done"] = pending.get("is_done", False)
                pending = None
        killer.join()
        model.figures.kills += 1
        model.figures.broken_off += model.pending is not None
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def _lines(stream: io.TextIOBase | Any) -> Iterator[dict[str, Any]]:
    for line in stream:
        if line.endswith("\n"):  # a kill may tear the last one
            yield json.loads(line)


def _expect(said: dict[str, Any] | None, event: str) -> dict[str, Any]:
    if said is None or said["event"] != event:
        raise SystemExit(f"The process that opened the store broke off before it said `{event}`.")
    return said


def main() -> None:
    """Print the figures; exit 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", type=Path, help="an empty folder to keep; default: a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = run(arguments.store or Path(temporary, "store"), kills=arguments.kills, seed=arguments.seed)
    for name, value in dataclasses.asdict(figures).items():
        if name != "notes":
            print(f"{name:<24}{value:>10.1f}" if name == "seconds" else f"{name:<24}{value:>10}")
    for note in figures.notes:
        print(note)
    sys.exit(0 if figures.is_good else 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(sys.argv[2], sys.argv[3].split(","), sys.argv[4].split(","), int(sys.argv[5]))
    else:
        main()
