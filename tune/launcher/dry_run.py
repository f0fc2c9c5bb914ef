"""`dgad-tune launch --dry-run`: what a study would take, counted and measured, with nothing started."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cluster.embedded import Machine, inspect_machine
from dgad.device import resolve_device
from dgad.domains.checks import check_listing
from tune.launcher.cluster_estimate import ClusterPlan, describe_cluster_plan
from tune.launcher.estimate import (
    START_S,
    Cost,
    FeatureCost,
    FitCount,
    average_cost,
    count_fits,
    estimate_seconds,
    measure_features,
)
from tune.launcher.inputs import check_data, check_unchanged, describe_inputs, read_finished
from tune.launcher.preflight import plan_matrix
from tune.launcher.request import Request, resolve_study
from tune.monitoring.trackers import check_installed
from tune.run_folder.demo_data import provide_data
from tune.run_folder.folder import read_info
from tune.run_folder.layout import DATA_FOLDER
from tune.search.workers import Workers, plan_workers
from tune.study.cells import Cell
from tune.study.data import StudyData, open_data
from tune.study.settings import Study


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """The fits, time and resources that a study would take."""

    study: Study
    cells: tuple[Cell, ...]
    not_applicable: Mapping[str, str]
    """Why other methods of the study cannot be run on its data, by label."""
    count: FitCount
    cost: Cost
    """The mean over `features`."""
    features: tuple[FeatureCost, ...]
    """Of every backbone, scale and normalisation that is looked at."""
    cache_bytes: int
    """The bound of features on disk; 0 keeps none."""
    num_queries: float
    """Test images of a domain, in the mean."""
    estimate_s: float
    machine: Machine
    workers: Workers
    device: str
    is_begun: bool
    """Whether the study exists, so that some of it may be done already."""
    is_finished: bool
    """Whether nothing of it is left to be done."""

    @property
    def work_s(self) -> float:
        """The seconds of work, if one worker did all of it."""
        return (self.estimate_s - START_S) * self.workers.count


def plan_study(request: Request) -> DryRun:
    """Count a study's fits and measure their cost; starts nothing and leaves nothing behind."""
    check_installed(request.trackers)
    study, folder, is_begun = resolve_study(request)
    is_finished = is_begun and read_finished(folder, retry_failed=request.retry_failed) is not None
    device, offered = resolve_device(request.device), inspect_machine()
    workers = plan_workers(offered, device.type, request.demand)
    with provide_data(study, folder, quick=True) as place:
        found = open_data(study, place)
        check_listing(found.dataset, found.domains)
        if is_begun and (study.data is not None or (folder / DATA_FOLDER).is_dir()):
            _check_goes_on(study, folder, found, place, is_finished=is_finished)
        matrix = plan_matrix(study, found.dataset, found.extra_targets)
        cells = matrix.cells
        count = count_fits(study, cells, num_extra_targets=len(found.extra_targets))
        features = measure_features(study, cells, found.dataset, device, workers.threads_each)
        cost = average_cost(features)
        queries = [len(d.tests) for d in found.dataset.domains.values()]
    return DryRun(
        study=study,
        cells=cells,
        not_applicable=matrix.not_applicable,
        count=count,
        cost=cost,
        features=features,
        cache_bytes=request.disk_cache.max_bytes if request.disk_cache else 0,
        num_queries=sum(queries) / len(queries),
        estimate_s=estimate_seconds(count, cost, sum(queries) / len(queries), workers),
        machine=offered,
        workers=workers,
        device=device.type,
        is_begun=is_begun,
        is_finished=is_finished,
    )


def _check_goes_on(study: Study, folder: Path, found: StudyData, data: str, *, is_finished: bool) -> None:
    """Raise where `launch` would: the study exists, and began with other data."""
    before = read_info(folder)
    if before is not None:
        check = check_data if is_finished else check_unchanged
        check(before, describe_inputs(study, found, ""), study, data)


def print_dry_run(
    found: DryRun, console: Console, *, as_json: bool, cluster: ClusterPlan | None = None
) -> None:
    """Print what a study would take here, or on a cluster."""
    values = {
        "study": found.study.name,
        "cells": len(found.cells),
        "trials": sum(c.num_trials for c in found.cells),
        "not_applicable": dict(found.not_applicable),
        **dataclasses.asdict(found.count),
        "step_ms": 1000 * found.cost.step_s,
        "scoring_ms_per_image": 1000 * found.cost.image_s,
        "features": [
            {
                "choice": f.choice,
                "backbone": f.backbone,
                "scale": f.scale,
                "step_ms": 1000 * f.cost.step_s,
                "scoring_ms_per_image": 1000 * f.cost.image_s,
                "estimate_s": _estimate_with(found, f.cost),
                "features_bytes": f.features_bytes,
                "images_bytes": f.images_bytes,
            }
            for f in found.features
        ],
        "features_bytes_at_most": min(found.cache_bytes, sum(f.features_bytes for f in found.features)),
        "estimate_s": found.estimate_s,
        "workers": found.workers.count,
        "device": found.device,
        "cpus": found.machine.num_cpus,
        "gpus": found.machine.num_gpus,
        "free_memory_gib": found.machine.memory_bytes / 1024**3,
    }
    if as_json:
        if cluster is not None:
            values["cluster"] = {**dataclasses.asdict(cluster), "price": cluster.price}
        click.echo(json.dumps(values, indent=2))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, text in _dry_run_lines(found):
        table.add_row(name, text)
    for name, text in describe_cluster_plan(cluster) if cluster else ():
        table.add_row(name, text)
    console.print(table)
    console.print("Nothing was started or written.", highlight=False)


def _estimate_with(found: DryRun, cost: Cost) -> float:
    """Seconds that the study would take, if every configuration had these features."""
    return estimate_seconds(found.count, cost, found.num_queries, found.workers)


def _what_is_done(found: DryRun) -> str:
    if found.is_finished:
        return " (is finished: nothing of this would be run)"
    return " (exists: some of it may be done)" if found.is_begun else ""


def _dry_run_lines(found: DryRun) -> list[tuple[str, str]]:
    """The same for a reader."""
    count, cost, machine = found.count, found.cost, found.machine
    num_trials = sum(c.num_trials for c in found.cells)
    minutes = max(1, round(found.estimate_s / 60))
    gib = machine.memory_bytes / 1024**3
    return [
        ("study", found.study.name + _what_is_done(found)),
        ("cells", f"{len(found.cells)}, {num_trials} trials in all"),
        ("fits", f"{count.fits} at most ({count.fits_alone} without sharing), {count.steps} steps"),
        ("scorings", str(count.scorings)),
        ("measured", f"{1000 * cost.step_s:.0f} ms a step, {1000 * cost.image_s:.0f} ms an image"),
        *((f.choice, _describe_features(found, f)) for f in found.features if f.choice),
        ("on disk", _describe_disk(found)),
        ("estimate", f"about {minutes} min on {found.workers.count} workers"),
        (
            "resources",
            f"{machine.num_cpus} CPU cores, {machine.num_gpus} GPUs, {gib:.0f} GiB free;"
            f" device {found.device}",
        ),
        *((label, f"not applicable: {reason}") for label, reason in found.not_applicable.items()),
    ]


def _describe_features(found: DryRun, own: FeatureCost) -> str:
    minutes = max(1, round(_estimate_with(found, own.cost) / 60))
    return (
        f"{1000 * own.cost.step_s:.0f} ms a step, {1000 * own.cost.image_s:.0f} ms an image,"
        f" {_gib(own.features_bytes)} of features; all of it with these: about {minutes} min"
    )


def _describe_disk(found: DryRun) -> str:
    total = sum(f.features_bytes for f in found.features)
    if not found.cache_bytes:
        return f"nothing (--cache-gib 0); features of all images would be {_gib(total)}"
    bound = f", at most {_gib(found.cache_bytes)} (--cache-gib)" if total > found.cache_bytes else ""
    return f"{_gib(total)} of features for each set of levels{bound}"


def _gib(num_bytes: float) -> str:
    gib = num_bytes / 1024**3
    return f"{gib:.2f} GiB" if gib < 10 else f"{gib:.0f} GiB"
