"""Where studies are kept: a folder, or a URI with folders of its own for the driver and for whoever looks."""

from pathlib import Path

from dgad.storage import Storage
from tests.s3_server import S3Server
from tune.run_folder.location import Runs


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    runs = Runs(location=str(tmp_path))
    assert not runs.is_remote
    assert runs.fetch_study("x") == tmp_path / "x"
    assert runs.view("x") == tmp_path
    assert runs.store("x") == str(tmp_path / "x")
    with runs.keep_mirrored("x", report=print) as mirror:
        assert mirror is None


def test_whoever_looks_leaves_the_driver_alone(s3: S3Server, tmp_path: Path) -> None:
    runs = Runs(location=s3.uri(f"shelf/{tmp_path.name}"))
    store = Storage(runs.store("x"))
    store.write("study.yaml", b"name: x")
    store.write("run.json", b"{}")
    work = runs.fetch_study("x")
    (work / ".running.json").write_text("{}")  # not sent yet
    (work / "run.json").write_text('{"ahead": 1}')
    view = runs.view("x") / "x"
    assert view != work
    assert (view / "run.json").read_text() == "{}"
    assert (work / ".running.json").is_file()
    assert (work / "run.json").read_text() == '{"ahead": 1}'
    assert runs.names() == ("x",)
    with runs.keep_mirrored("x", report=print):
        pass
    assert store.read("run.json") == b'{"ahead": 1}'


def test_another_uri_has_other_folders(tmp_path: Path) -> None:
    one, other = Runs(location="s3://a/runs?region=x"), Runs(location="s3://b/runs?region=x")
    assert one.folder != other.folder
    assert one.store("x") == "s3://a/runs/x?region=x"
