"""Small studies, started as a user starts them, and what they leave."""

from pathlib import Path

from click.testing import CliRunner, Result

from tune.cli import cli

SETTINGS = (
    "space: demo\ntrials: 2\nnum_references: 3\nimage_size_px: 64\nmethods: [comparer, trivial]\n"
    "weights: none\n"  # on builtin weights a configuration may need no sources, and so fewer fits
)


def arguments_of(data: Path, runs: Path, *more: str) -> list[str]:
    """Of a launch of the study `x` of two trials a cell."""
    study = runs.parent / "settings.yaml"
    study.write_text(SETTINGS)
    return ["launch", "--data", str(data), "--runs", str(runs), "--name", "x", "--study", str(study), *more]


def invoke(arguments: list[str]) -> Result:
    """Run `dgad-tune` in this process, on the Ray that runs in it."""
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def fits(folder: Path) -> list[Path]:
    """The finished fits that a study shares with others of its runs folder, a file each."""
    return sorted(folder.parent.glob(".shared/fits/*/fit.json"))


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """What changes when a fit or record is written again: its file's number and time."""
    paths = [*fits(folder), *folder.glob("records/*.parquet")]
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns) for p in paths}
