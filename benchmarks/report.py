"""How long a whole report takes, and how large its page is, over invented records.

python benchmarks/report.py
python benchmarks/report.py --methods 10 --domains 5 --trials 40
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np

from dgad.evaluation.frechet import domain_distances
from dgad.evaluation.metrics import compute_metrics
from dgad.provenance import current_versions
from dgad.records import FitKey, Record, RecordStore
from dgad.report.page import FILES_FOLDER, write_report
from dgad.report.summary import CellSummary, StudySummary, TrialSummary, write_summary

NUM_IMAGES = 110
"""Test images of a domain, as MVTec AD's textures have."""
COUNTS = ("1", "2", "5", "20")


def record(method: str, target: str, domains: tuple[str, ...], num_references: int) -> Record:
    """Scores of one method on one target, the better the longer its name."""
    drawn = np.random.default_rng([num_references, *map(ord, method + target)])
    labels = np.repeat([0, 1], [30, NUM_IMAGES - 30])
    scores = drawn.normal(size=NUM_IMAGES) + 0.25 * len(method) * labels
    return Record(
        fit=FitKey(
            method=method,
            settings={},
            features={"backbone": "resnet18"},
            sources=tuple(d for d in domains if d != target),
            data_fingerprint="0" * 64,
            seed=0,
            code_version="0",
        ),
        label=method,
        role="outer",
        target=target,
        num_references=num_references,
        status="ok",
        metrics=compute_metrics(labels, scores, None, None, seed=0),
        sample_ids=tuple(f"{target}/test/{i:03d}" for i in range(NUM_IMAGES)),
        labels=tuple(labels.tolist()),
        kinds=tuple(f"kind{i % 5}" if label else "good" for i, label in enumerate(labels)),
        image_scores=tuple(scores.tolist()),
        ms_per_image=float(10 + len(method)),
        fit_s=1.0,
    )


def write_run(folder: Path, *, num_methods: int, num_domains: int, num_trials: int) -> None:
    """A run folder as a study of so many methods, folds and trials leaves it, without pictures."""
    domains = tuple(f"domain{i}" for i in range(num_domains))
    store, drawn, cells = RecordStore(folder / "records"), np.random.default_rng(0), []
    for method in (f"{'m' * (i + 1)}ethod" for i in range(num_methods)):
        for target in domains:
            own = record(method, target, domains, 10)
            more = {count: record(method, target, domains, int(count)) for count in COUNTS}
            for each in (own, *more.values()):
                store.write(each)
            trials = tuple(
                TrialSummary(
                    number=n,
                    settings={"learning_rate": float(drawn.random()), "width": int(drawn.integers(8, 64))},
                    value=float(drawn.random()),
                    inner_scores={d: float(drawn.random()) for d in domains if d != target},
                    status="complete",
                    duration_s=3.0,
                )
                for n in range(num_trials)
            )
            cell = CellSummary(
                method=method,
                target=target,
                protocol="nested",
                selected=trials[0].settings,
                inner_score=trials[0].value,
                trials=trials,
                record_ids=(own.record_id,),
                importance={"learning_rate": 0.7, "width": 0.3},
            )
            ids = {count: (r.record_id,) for count, r in more.items()}
            cells.append(dataclasses.replace(cell, more_record_ids=ids))
    features = {d: drawn.normal(i, 1, size=(40, 64)) for i, d in enumerate(domains)}
    summary = StudySummary(
        name="invented",
        protocol="nested",
        data_location="nowhere",
        data_fingerprint="0" * 64,
        domains=domains,
        methods=tuple(dict.fromkeys(c.method for c in cells)),
        seeds=(0,),
        trials_per_cell=num_trials,
        num_references="10",
        features={"backbone": "resnet18"},
        command="benchmarks/report.py",
        started_at="2030-01-01T00:00:00+00:00",
        wall_s=1.0,
        versions=current_versions(),
        device="cpu",
        cells=tuple(cells),
        fits_computed=0,
        fits_reused=0,
        distances=domain_distances(features, backbone="resnet18"),
    )
    write_summary(folder, summary)


def main() -> None:
    """Print both figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", type=int, default=10)
    parser.add_argument("--domains", type=int, default=5)
    parser.add_argument("--trials", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "invented"
        write_run(folder, num_methods=options.methods, num_domains=options.domains, num_trials=options.trials)
        started, cpu = time.perf_counter(), time.process_time()
        page = write_report(folder)
        wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
        files = [p for p in (folder / FILES_FOLDER).rglob("*") if p.is_file()]
        what = f"{options.methods} methods x {options.domains} folds x {options.trials} trials"
        print(f"{what}: {wall_s:.1f} s ({cpu_s:.1f} s of CPU)")
        print(f"page {page.stat().st_size / 1e6:.2f} MB, {len(files)} files of tables and figures")


if __name__ == "__main__":
    main()
