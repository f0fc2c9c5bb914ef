"""`dgad score` and `dgad bundle show` on a bundle, as a user calls them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dgad.bundle import write_bundle
from dgad.methods import METHODS, parse_method
from tests.conftest import Run
from tests.dgad.methods.surfaces import context


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    name, _, settings = parse_method("patch_knn")
    method = METHODS[name](settings, context())
    provenance = {"training_domains": ["grid"]}
    write_bundle(folder, method, metrics={"image_auroc": 0.9}, card="# Card\n", provenance=provenance)
    return folder


def test_scores_and_overlays_of_a_new_surface(
    run: Run, bundle: Path, demo_data: Path, tmp_path: Path
) -> None:
    wood = demo_data / "wood"
    kind = next(k for k in sorted((wood / "test").iterdir()) if k.name != "good")
    done = run(
        "score", "--bundle", bundle, "--references", wood / "train" / "good", wood / "test" / "good", kind,
        "--heatmaps", "out/maps", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["num_references"] == 12
    assert len(answer["results"]) == 4 + len(list(kind.iterdir()))
    for row in answer["results"]:
        assert row["beyond_normal"] == (row["score"] > answer["highest_normal_score"])
        with Image.open(tmp_path / row["heatmap"]) as overlay, Image.open(row["image"]) as image:
            assert overlay.size == image.size
    names = [row["heatmap"] for row in answer["results"]]
    assert len(set(names)) == len(names), "images of one name from two folders both keep their overlay"


def test_one_reference_is_enough(run: Run, bundle: Path, demo_data: Path) -> None:
    image = demo_data / "wood" / "test" / "good" / "000.png"
    reference = demo_data / "wood" / "train" / "good" / "000.png"
    done = run("score", "--bundle", bundle, "--references", reference, image)
    assert done.returncode == 0, done.stderr
    assert "unknown" in done.stdout


def test_names_are_printed_as_they_are(run: Run, bundle: Path, demo_data: Path, tmp_path: Path) -> None:
    good = demo_data / "wood" / "test" / "good"
    names = ("part[x].png", "part[y].png", "[bold]:heart:\x1b[2J.png")
    for name in names:
        shutil.copy(good / "000.png", tmp_path / name)
    done = run("score", "--bundle", bundle, "--references", good, *names)
    assert done.returncode == 0, done.stderr
    for shown in ("part[x].png", "part[y].png", r"[bold]:heart:\x1b[2J.png"):
        assert shown in done.stdout
    assert "\x1b" not in done.stdout


def test_overlays_on_a_full_disk_are_one_sentence(
    run: Run, bundle: Path, demo_data: Path, tmp_path: Path, full_disk: None
) -> None:
    good, image = demo_data / "wood" / "train" / "good", demo_data / "wood" / "test" / "good" / "000.png"
    done = run("score", "--bundle", bundle, "--references", good, image, "--heatmaps", "out")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: out/000.png cannot be read or written: File too large; ")
    assert list((tmp_path / "out").iterdir()) == []


def test_copies_among_references_and_references_among_images_are_told(
    run: Run, bundle: Path, demo_data: Path, tmp_path: Path
) -> None:
    good = demo_data / "wood" / "train" / "good"
    part = tmp_path / f"{'x' * 251}.png"  # the longest name that a file may have
    shutil.copy(demo_data / "wood" / "test" / "good" / "000.png", part)
    copies = [tmp_path / f"{i}.png" for i in range(3)]
    for copy in copies:
        shutil.copy(good / "000.png", copy)
    thrice = [option for copy in copies for option in ("--references", copy)]
    done = run("score", "--bundle", bundle, *thrice, part, copies[2], "--heatmaps", "out", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["num_references"] == 1
    assert answer["highest_normal_score"] is None, "one photograph has no other to be compared with"
    assert [row["beyond_normal"] for row in answer["results"]] == [None, None]
    assert [row["same_as_reference"] for row in answer["results"]] == [None, str(copies[0])]
    assert done.stderr.splitlines() == [
        f"Warning: {copies[1]} is {copies[0]} again; {copies[2]} is {copies[0]} again: the same photograph is"
        " enrolled once.",
        f"Warning: {copies[2]} is the reference {copies[0]}: compared with itself an image is as normal as"
        " can be, so its score says nothing.",
    ]
    assert all((tmp_path / row["heatmap"]).is_file() for row in answer["results"])


def test_mistakes(run: Run, bundle: Path, demo_data: Path, tmp_path: Path) -> None:
    references = demo_data / "wood" / "train" / "good"
    image = references / "000.png"
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.png").write_bytes(b"no image")
    (tmp_path / "taken" / "000.png").mkdir(parents=True)
    cases = [
        (["--bundle", tmp_path / "empty", "--references", references, image], "is no bundle"),
        (["--bundle", bundle, "--references", tmp_path / "empty", image], "holds no image"),
        (
            ["--bundle", bundle, "--references", references, "absent.png"],
            "No image file or folder absent.png",
        ),
        (["--bundle", bundle, "--references", references, "bad.png"], "bad.png"),
        (["--bundle", bundle, "--references", references], "Missing argument"),
        (
            ["--bundle", bundle, "--references", references, image, "--heatmaps", "bad.png"],
            "must be a folder",
        ),
        (
            ["--bundle", bundle, "--references", references, image, "--heatmaps", "bad.png/deeper"],
            "bad.png is a file",
        ),
        (
            ["--bundle", bundle, "--references", references, image, "--heatmaps", "taken"],
            "a folder has its name",
        ),
    ]
    for arguments, message in cases:
        done = run("score", *arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"empty", "bad.png", "taken"}, "nothing half-written"


def test_serve_check_accepts_a_whole_bundle_and_refuses_a_changed_one(
    run: Run, bundle: Path, tmp_path: Path
) -> None:
    done = run("check", "--bundle", bundle, "--json", script="dgad-serve")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["servable"] is True
    changed = tmp_path / "changed"
    shutil.copytree(bundle, changed)
    (changed / "metrics.json").write_text("{}")
    done = run("check", "--bundle", changed, script="dgad-serve")
    assert done.returncode == 2
    assert "metrics.json differs" in done.stderr


def test_12_bits_in_16_are_warned_of_and_read_by_a_declared_depth(
    run: Run, bundle: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "good").mkdir()
    for name in ("good/0.png", "good/1.png", "part.png"):
        pixels = np.clip(rng.normal(2000, 600, (64, 64)), 0, 4095).astype(np.uint16)
        Image.fromarray(pixels).save(tmp_path / name)
        Image.fromarray((pixels / 4095 * 65535).round().astype(np.uint16)).save(tmp_path / f"{name}.tif")
    call = ("score", "--bundle", bundle, "--json", "--references")
    files = [tmp_path / name for name in ("good/0.png", "good/1.png", "part.png")]
    dark = run(*call, files[0], "--references", files[1], files[2])
    assert dark.returncode == 0
    lines = dark.stderr.splitlines()
    assert [line[:30] for line in lines] == [
        "Warning: The references have n",
        "Warning: The images have no va",
    ]
    assert all("of 65535" in line and "--bit-depth 12" in line for line in lines)
    declared = run(*call, files[0], "--references", files[1], files[2], "--bit-depth", "12")
    assert (declared.returncode, declared.stderr) == (0, "")
    full = run(*call, f"{files[0]}.tif", "--references", f"{files[1]}.tif", f"{files[2]}.tif")
    scores = [json.loads(each.stdout)["results"][0]["score"] for each in (dark, declared, full)]
    assert scores[1] == pytest.approx(scores[2], rel=1e-3)
    assert scores[0] != pytest.approx(scores[2], rel=1e-2)
    for depth, said in {"10": r"holds the value \d+", "7": "from 8 to 32"}.items():
        refused = run(*call, files[0], files[2], "--bit-depth", depth)
        assert refused.returncode == 2
        assert re.search(said, refused.stderr)
