"""The ledger: one order across processes, and the breaches it shows."""

import json
import multiprocessing
from pathlib import Path

import pytest

from dgad.errors import RecordError
from tune.run_folder.ledger import Entry, Ledger, find_leaks, read_growing_ledger


def _append_many(folder: Path, cell: str) -> None:
    ledger = Ledger(folder)
    for i in range(40):
        ledger.append(cell, "objective", domains=("b",), record_id=f"{cell}-{i}")


def test_processes_that_append_at_once_share_one_gapless_order(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_append_many, args=(tmp_path, f"comparer@{c}")) for c in "ac"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    entries = Ledger(tmp_path).entries()
    assert [e.sequence for e in entries] == list(range(80))
    for cell in ("comparer@a", "comparer@c"):
        mine = [e.record_id for e in entries if e.cell == cell]
        assert mine == [f"{cell}-{i}" for i in range(40)]
    assert not [p for p in tmp_path.iterdir() if p.suffix != ".json"]


def test_a_new_process_goes_on_counting(tmp_path: Path) -> None:
    Ledger(tmp_path).append("comparer@a", "objective", domains=("b",))
    assert Ledger(tmp_path).append("comparer@a", "seal", detail={"settings": {}}).sequence == 1
    seal = Ledger(tmp_path).seal_of("comparer@a")
    assert seal is not None
    assert seal.sequence == 1
    assert Ledger(tmp_path).seal_of("comparer@b") is None


def test_a_removed_or_damaged_entry_is_noticed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for _ in range(3):
        ledger.append("comparer@a", "objective", domains=("b",))
    (tmp_path / "00000002.json").write_text(json.dumps({"cell": "comparer@a"}))
    with pytest.raises(RecordError, match="damaged"):
        ledger.entries()
    (tmp_path / "00000001.json").unlink()
    with pytest.raises(RecordError, match="gap"):
        ledger.entries()


def test_a_ledger_that_grows_is_read_with_its_gap(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    first, _, last = [ledger.append("comparer@a", "fit", domains=("b",), detail={"fit": n}) for n in "abc"]
    (tmp_path / "00000001.json").unlink()
    assert read_growing_ledger(tmp_path) == [first, last]
    assert read_growing_ledger(tmp_path / "none") == []
    (tmp_path / "00000001.json").write_text("[]")
    with pytest.raises(RecordError, match=r"ledger entry .*00000001\.json is damaged: expected a mapping"):
        read_growing_ledger(tmp_path)


def _entry(sequence: int, purpose: str, *domains: str, cell: str = "comparer@t") -> Entry:
    detail = {"settings": {}} if purpose == "seal" else {}
    return Entry(sequence=sequence, cell=cell, purpose=purpose, domains=domains, detail=detail, at="")  # type: ignore[arg-type]


def test_the_proper_order_has_no_leak() -> None:
    entries = [
        _entry(0, "fit", "a", "b"),
        _entry(1, "objective", "c"),
        _entry(2, "seal"),
        _entry(3, "fit", "a", "b", "c"),
        _entry(4, "outer", "t"),
        _entry(5, "objective", "t", cell="comparer@a"),  # t is only a source there
        _entry(6, "objective", "t", cell="comparer@deploy"),
    ]
    assert find_leaks(entries) == ()


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        ([_entry(0, "objective", "t")], "before its seal"),
        ([_entry(0, "fit", "a", "t")], "before its seal"),
        ([_entry(0, "outer", "t"), _entry(1, "seal")], "before its seal"),
        ([_entry(0, "seal"), _entry(1, "seal")], "second time"),
        ([_entry(0, "seal"), _entry(1, "objective", "a")], "after its seal"),
        ([_entry(0, "seal"), _entry(1, "fit", "a", "t")], "used its target's labels to fit"),
    ],
)
def test_every_breach_is_told(entries: list[Entry], word: str) -> None:
    (told,) = find_leaks(entries)
    assert word in told


def test_a_seal_without_a_selection_closes_nothing_and_gives_way(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append("comparer@t", "seal")
    empty = ledger.seal_of("comparer@t")
    assert empty is not None
    assert empty.detail == {}
    ledger.append("comparer@t", "objective", domains=("a",))
    ledger.append("comparer@t", "seal", detail={"settings": {"n": 1}})
    sealed = ledger.seal_of("comparer@t")
    assert sealed is not None
    assert sealed.detail == {"settings": {"n": 1}}
    assert find_leaks(ledger.entries()) == ()
    ledger.append("comparer@t", "objective", domains=("a",))
    assert len(find_leaks(ledger.entries())) == 1


def test_only_a_cell_whose_name_says_oracle_may_judge_by_its_target() -> None:
    name = "comparer [oracle]@t"
    own = [_entry(0, "objective", "t", cell=name), _entry(1, "seal", cell=name)]
    assert find_leaks(own) == ()
    assert len(find_leaks([_entry(0, "fit", "a", "t", cell=name)])) == 1
    assert len(find_leaks([_entry(0, "outer", "t", cell=name)])) == 1
    assert len(find_leaks([_entry(0, "objective", "t", cell="comparer [source-validation]@t")])) == 1


def test_entries_are_read_once_however_often_a_seal_is_asked_for(tmp_path: Path) -> None:
    writer, reader = Ledger(tmp_path / "l"), Ledger(tmp_path / "l")
    for number in range(20):
        writer.append(f"m@{number}", "seal", detail={"a": number})
    opened: list[str] = []
    read = reader._storage.read
    reader._storage.read = lambda name: opened.append(name) or read(name)  # type: ignore[func-returns-value,method-assign]
    for number in range(20):
        seal = reader.seal_of(f"m@{number}")
        assert seal is not None
        assert seal.detail == {"a": number}
    assert len(opened) == 20
    writer.append("late@x", "seal", detail={"a": 1})
    assert reader.seal_of("late@x") is not None
    assert len(opened) == 21


def test_one_entry_is_read_without_the_others(tmp_path: Path) -> None:
    writer, reader = Ledger(tmp_path / "l"), Ledger(tmp_path / "l")
    written = [writer.append("m@a", "fit", domains=("b",), detail={"fit": str(n)}) for n in range(3)]
    (tmp_path / "l" / "00000001.json").write_text("{")
    assert reader.entry(2) == written[2]
    assert reader.entry(3) is None
    with pytest.raises(RecordError, match="damaged"):
        reader.entry(1)


def test_the_seals_of_all_cells_are_those_of_each(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append("m@a", "seal")
    ledger.append("m@b", "seal", detail={"n": 1})
    ledger.append("m@c", "fit", detail={"fit": "f"})
    ledger.append("m@a", "seal")
    ledger.append("m@b", "seal", detail={"n": 2})
    assert {cell: e.sequence for cell, e in ledger.seals().items()} == {"m@a": 0, "m@b": 1}
    ledger.append("m@a", "seal", detail={"n": 3})
    assert {cell: e.sequence for cell, e in ledger.seals().items()} == {"m@a": 5, "m@b": 1}
    assert ledger.seal_of("m@a") == ledger.seals()["m@a"]
