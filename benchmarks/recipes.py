"""Which recipe of pretraining is worth what: `python benchmarks/recipes.py backbone|comparer --out FILE`.

Short arms that differ in one thing, each with several seeds, judged on procedural families and defects
never trained on (and on the domains of --data, such as `dgad domains synthesize` writes): image and pixel
AUROC with 10 references. No photograph is involved. `backbone` arms are scored by `patch_knn`; `comparer`
arms train the second stage on the shipped backbone and are scored by the comparer. Every result is appended
to --out as it comes, and the same command goes on where it was interrupted.
"""

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dgad.comparer.settings import BUILTIN, ComparerSettings
from dgad.domains import open_dataset
from dgad.domains.geometry import Geometry
from dgad.evaluation.scoring import TargetDomain, load_target, score_target
from dgad.features.backbone import Backbone
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods.base import Context, Method
from dgad.methods.comparer import ComparerMethod
from dgad.methods.patch_knn import PatchKnnMethod, PatchKnnSettings
from dgad.pretraining.comparer_stage import train_comparer
from dgad.pretraining.evaluation import NUM_REFERENCES, draw_held_out_targets
from dgad.pretraining.settings import PretrainSettings
from dgad.pretraining.stream import stream_episodes
from dgad.pretraining.trainer import Trainer

CPU = torch.device("cpu")
IMAGE_SIZE_PX = 128

BACKBONE_ARMS: Mapping[str, PretrainSettings] = {
    "shipped": PretrainSettings(),
    "no image loss": PretrainSettings(image_loss_weight=0.0),
    "rate 3e-3": PretrainSettings(learning_rate=3e-3),
}
NOT_TRAINED = "drawn, BatchNorm set"
"""Random weights with the statistics of procedural images."""

UNCORRECTED = dataclasses.replace(BUILTIN, density_correction=False)
COMPARER_ARMS: Mapping[str, tuple[PretrainSettings, ComparerSettings]] = {
    "as it starts": (PretrainSettings(comparer_steps=0), BUILTIN),
    "rate 1e-3": (PretrainSettings(), BUILTIN),
    "rate 1e-4": (PretrainSettings(comparer_learning_rate=1e-4), BUILTIN),
    "rate 1e-3, anchor 0.01": (PretrainSettings(comparer_anchor_weight=0.01), BUILTIN),
    "rate 1e-4, uncorrected in training": (PretrainSettings(comparer_learning_rate=1e-4), UNCORRECTED),
}


def backbone_arm(settings: PretrainSettings, num_steps: int) -> Method:
    """`patch_knn` on a backbone after `num_steps`."""
    trainer = Trainer(settings, CPU)
    for drawn in stream_episodes(settings, first=0, last=num_steps, device=CPU, workers=0):
        trainer.train_step(drawn)
    method = PatchKnnMethod(PatchKnnSettings(), context("none"))
    state = trainer.finish_backbone().state_dict()
    method.load_state({name: state[name] for name in method.state()})
    return method


def comparer_arm(settings: PretrainSettings, structure: ComparerSettings) -> Method:
    """A comparer trained on the shipped backbone."""
    backbone = Backbone(FeatureSettings(weights="builtin"), structure.strides, seed=0)
    drawn = stream_episodes(
        settings, first=10**7, last=10**7 + settings.comparer_steps, device=CPU, workers=0
    )
    comparer = train_comparer(backbone, structure, settings, drawn, progress=lambda *_: None)
    method = ComparerMethod(dataclasses.replace(BUILTIN, init="difference"), context("builtin"))
    state = {f"comparer.{name}": value for name, value in comparer.state_dict().items()}
    method.load_state({**method.state(), **state})
    return method


def context(weights: str) -> Context:
    """Nothing is kept: weights change from arm to arm."""
    features = FeatureSettings(weights=weights, scale=f"squash {IMAGE_SIZE_PX}")
    return Context(features=features, device=CPU, cache=FeatureCache(max_bytes=0))


def jobs(stage: str, num_steps: int) -> Mapping[str, Callable[[int], Method]]:
    """By arm: from a seed to what is scored."""
    found: dict[str, Callable[[int], Method]] = {}
    if stage == "backbone":
        found[NOT_TRAINED] = lambda seed: backbone_arm(PretrainSettings(seed=seed), 0)
        for name, settings in BACKBONE_ARMS.items():
            found[name] = lambda seed, s=settings: backbone_arm(dataclasses.replace(s, seed=seed), num_steps)
        return found
    for name, (settings, structure) in COMPARER_ARMS.items():
        steps = min(num_steps, settings.comparer_steps)
        found[name] = lambda seed, s=settings, c=structure, n=steps: comparer_arm(
            dataclasses.replace(s, seed=seed, comparer_steps=n), c
        )
    return found


def judge(method: Method, targets: Sequence[TargetDomain], seed: int) -> dict[str, list[float]]:
    """Metrics by name, in the order of the targets."""
    found = [score_target(method, t, num_references=NUM_REFERENCES, seed=seed).metrics for t in targets]
    return {"image": [m.image_auroc for m in found], "pixel": [m.pixel_auroc for m in found]}


def kept(path: Path) -> Iterator[dict[str, Any]]:
    """Results of earlier calls."""
    if path.exists():
        yield from (json.loads(line) for line in path.read_text().splitlines())


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Mean over seeds and domains with the standard error over seeds, and against the first arm."""
    lines = []
    arms = list(dict.fromkeys(r["arm"] for r in results))
    groups = list(dict.fromkeys(g for r in results for g in r["groups"]))
    for group in groups:
        for metric in ("image", "pixel"):
            lines.append(f"{group}, {metric} AUROC")
            by_arm = {
                arm: {
                    r["seed"]: float(np.mean(r["groups"][group][metric]))
                    for r in results
                    if r["arm"] == arm and group in r["groups"]
                }
                for arm in arms
            }
            for arm, by_seed in by_arm.items():
                values = np.array(list(by_seed.values()))
                error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
                shared = [s for s in by_seed if s in by_arm[arms[0]]]
                gains = ", ".join(f"{100 * (by_seed[s] - by_arm[arms[0]][s]):+.1f}" for s in sorted(shared))
                lines.append(f"  {arm:36s} {values.mean():.4f} ±{error:.4f}  against the first: {gains}")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("stage", choices=["backbone", "comparer"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--domains-each", type=int, default=2, help="held-out domains a family and seed")
    parser.add_argument("--data", help="also judge on every domain of this data set")
    parser.add_argument("--arms", help="separated by semicolons  [default: all]")
    options = parser.parse_args()
    results = [r for r in kept(options.out) if r["stage"] == options.stage]
    done = {(r["arm"], r["seed"]) for r in results}
    wanted = jobs(options.stage, options.steps)
    if options.arms:
        wanted = {name: wanted[name.strip()] for name in options.arms.split(";")}
    synthesized: tuple[TargetDomain, ...] = ()
    if options.data:
        dataset = open_dataset(options.data)
        synthesized = tuple(
            load_target(d, Geometry(scale=f"squash {IMAGE_SIZE_PX}")) for d in dataset.domains.values()
        )
    for seed in map(int, options.seeds.split(",")):
        held_out = draw_held_out_targets(
            domains_each=options.domains_each, image_size_px=IMAGE_SIZE_PX, seed=seed
        )
        for arm, run in wanted.items():
            if (arm, seed) in done:
                continue
            started = time.perf_counter()
            method = run(seed)
            trained_s = time.perf_counter() - started
            groups = {"held-out families": judge(method, held_out, seed)}
            if synthesized:
                groups["data"] = judge(method, synthesized, seed)
            result = {
                "stage": options.stage,
                "arm": arm,
                "seed": seed,
                "steps": options.steps,
                "trained_s": trained_s,
                "groups": groups,
            }
            with options.out.open("a") as file:
                file.write(json.dumps(result) + "\n")
            results.append(result)
            print(f"{arm}, seed {seed}: {trained_s:.0f} s", file=sys.stderr, flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
