"""A run folder as a study leaves it, from invented scores."""

import numpy as np

from dgad.evaluation.heatmaps import strip_png
from dgad.evaluation.metrics import compute_metrics
from dgad.records import FitKey, Record, RecordStore
from dgad.report.summary import BundleSummary, CellSummary, StudySummary, TrialSummary, write_summary

DOMAINS = ("grid", "leather", "tile", "woven")
QUALITY = {"comparer": 2.2, "comparer:untrained": 1.2, "patch_knn": 1.8, "trivial": 0.4}


def make_record(label, target, *, seed=0, quality=1.0, role="outer", status="ok", num_images=60, pixels=True):
    """Scores that separate normal from abnormal images by about `quality` standard deviations."""
    method, _, preset = label.partition(":")
    generator = np.random.default_rng([seed, *map(ord, label + target)])
    labels = np.repeat([0, 1], [num_images // 3, num_images - num_images // 3])
    scores = generator.normal(size=num_images) + quality * labels
    masks = maps = None
    if pixels:
        masks = [np.zeros((8, 8), dtype=bool) for _ in labels]
        for mask, bad in zip(masks, labels, strict=True):
            mask[2:4, 2:5] = bad
        maps = generator.normal(size=(num_images, 8, 8)) + quality * np.array(masks)
    fit = FitKey(
        method=method,
        settings={"preset": preset or "robust"},
        features={"backbone": "resnet18"},
        sources=tuple(d for d in DOMAINS if d != target),
        data_fingerprint="f" * 64,
        seed=seed,
        code_version="0",
    )
    failed = {"error": "out of memory <b>here</b>"} if status == "failed" else {}
    scored = {
        "metrics": compute_metrics(labels, scores, masks, maps, seed=seed),
        "sample_ids": [f"{target}/test/{k}/{i:03d}" for i, k in enumerate(labels)],
        "labels": labels,
        "kinds": ["hole" if k else "good" for k in labels],
        "image_scores": scores,
        "ms_per_image": 12.345,
    }
    return Record(
        fit=fit,
        label=label,
        role=role,
        target=target,
        num_references=5,
        status=status,
        fit_s=3.0,
        **(failed if status == "failed" else scored),
    )


def make_records(*, seeds=(0,), quality=QUALITY):
    return [
        make_record(label, target, seed=seed, quality=q * (0.3 if target == "woven" else 1.0))
        for label, q in quality.items()
        for target in DOMAINS
        for seed in seeds
    ]


def make_trials(count=6):
    generator = np.random.default_rng(0)
    trials = []
    for number in range(count):
        scores = {d: float(generator.uniform(0.6, 0.95)) for d in DOMAINS[1:]}
        status = ("complete", "complete", "stopped", "failed")[number % 4]
        trials.append(
            TrialSummary(
                number=number,
                settings={
                    "learning_rate": 10.0 ** -float(generator.uniform(2, 4)),
                    "aggregation": ("min", "max")[number % 2],
                    "flips": True,  # as a trial keeps it that had no choice
                },
                value=None if status == "failed" else float(np.mean(list(scores.values()))),
                inner_scores={} if status == "failed" else scores,
                status=status,
                duration_s=4.2,
                error="the loss is not finite" if status == "failed" else None,
            )
        )
    return tuple(trials)


def make_summary(records, **changes):
    cells = []
    for label in dict.fromkeys(r.label for r in records):
        searched = label == "comparer"
        for target in (*DOMAINS, "deploy") if searched else DOMAINS:
            ids = tuple(r.record_id for r in records if (r.label, r.target) == (label, target))
            cells.append(
                CellSummary(
                    method=label,
                    target=target,
                    protocol="nested" if searched else "fixed",
                    selected={"learning_rate": 0.001, "aggregation": "min", "flips": True, "width": 64}
                    if searched
                    else {"neighbourhood": 3},
                    inner_score=0.91 if searched else None,
                    trials=make_trials() if searched else (),
                    record_ids=ids,
                )
            )
    values = {
        "name": "demo",
        "protocol": "nested",
        "data_location": "s3://bucket/<surfaces>",
        "data_fingerprint": "f" * 64,
        "domains": DOMAINS,
        "methods": tuple(QUALITY),
        "seeds": (0,),
        "trials_per_cell": 6,
        "num_references": "5",
        "features": {"backbone": "resnet18", "weights": "none", "image_size_px": 128},
        "command": "dgad-tune launch --data '<script>alert(1)</script>'",
        "started_at": "2030-01-01T00:00:00+00:00",
        "wall_s": 287.4,
        "versions": {"python": "3.11", "torch": "2.15"},
        "device": "cpu",
        "cells": tuple(cells),
        "fits_computed": 30,
        "fits_reused": 12,
        "bundle": BundleSummary(
            path="bundle", bundle_id="a" * 32, method="comparer", expected_image_auroc=0.91
        ),
    }
    return StudySummary(**(values | changes))


def make_run(folder, *, records=None, summary=None, strips_per_target=4, size_px=96):
    """Write records, summary, study and strips; returns (records, summary)."""
    records = make_records() if records is None else records
    summary = make_summary(records) if summary is None else summary
    store = RecordStore(folder / "records")
    for record in records:
        store.write(record)
    write_summary(folder, summary)
    (folder / "study.yaml").write_text("name: demo\nmethods: [comparer]  # <i>\n")
    generator = np.random.default_rng(0)
    for target in DOMAINS:
        (folder / "examples" / target).mkdir(parents=True)
        for i in range(strips_per_target):
            image = generator.integers(90, 150, size=(size_px, size_px, 3), dtype=np.uint8)
            mask = np.zeros((32, 32), dtype=bool)
            mask[8:14, 10 + i : 14 + i] = True
            heat = mask * 1.0 + 0.2 * generator.random((32, 32))
            path = folder / "examples" / target / f"{i:02d}-hole-{i:03d}.png"
            path.write_bytes(strip_png(image, mask, heat, low=0.1, high=1.0))
    return records, summary
