"""A pretraining run in its folder: checkpoint, log and, at the end, weights as the package ships them."""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from dgad.comparer.settings import BUILTIN
from dgad.domains.procedural import HELD_OUT_DEFECTS, HELD_OUT_FAMILIES, TRAINING_DEFECTS, TRAINING_FAMILIES
from dgad.errors import DataError
from dgad.evaluation.scoring import TargetDomain
from dgad.features.backbone import Backbone
from dgad.features.builtin import write_builtin
from dgad.files import write_atomic
from dgad.pretraining.card import weights_card
from dgad.pretraining.comparer_stage import train_comparer
from dgad.pretraining.evaluation import FeatureQuality, draw_held_out_targets, feature_quality
from dgad.pretraining.settings import PretrainSettings
from dgad.pretraining.stream import stream_episodes
from dgad.pretraining.trainer import Trainer
from dgad.provenance import current_versions
from dgad.settings import to_dict

_CHECKPOINT = "checkpoint.safetensors"
_LOG = "log.jsonl"
WEIGHTS = "weights"
_SAVE_EVERY_S = 60.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How long, and how often it is looked at; none of it changes a step."""

    num_steps: int
    evaluate_every: int
    workers: int
    """Processes that draw images; 0 draws them on the device."""


def pretrain(
    folder: Path,
    settings: PretrainSettings,
    schedule: Schedule,
    device: torch.device,
    *,
    progress: Callable[[str, int, int, float], None],
    report: Callable[[str], None],
) -> Path:
    """Train up to `num_steps` in all, going on from the folder's checkpoint; returns the weights' folder.

    Raises `DataError` for a folder that holds something else, `SettingsError` for another recipe.
    """
    checkpoint = folder / _CHECKPOINT
    if folder.exists() and any(folder.iterdir()) and not checkpoint.exists():
        raise DataError(f"{folder} holds something else than a pretraining run: name a new folder.")
    trainer = Trainer(settings, device)
    if checkpoint.exists():
        trainer.load(checkpoint)
        report(f"Going on from step {trainer.step} in {folder}.")
    folder.mkdir(parents=True, exist_ok=True)
    targets = draw_held_out_targets()
    saved_at, losses = time.monotonic(), []
    stream = stream_episodes(
        settings, first=trainer.step, last=schedule.num_steps, device=device, workers=schedule.workers
    )
    for drawn in stream:
        losses.append(trainer.train_step(drawn))
        progress("backbone", trainer.step, schedule.num_steps, losses[-1])
        if time.monotonic() - saved_at > _SAVE_EVERY_S:
            trainer.save(checkpoint)
            saved_at = time.monotonic()
        if trainer.step % schedule.evaluate_every == 0 and trainer.step < schedule.num_steps:
            quality = _quality(trainer.finish_backbone(), settings, targets, device)
            trainer.save(checkpoint)  # no line of the log is ahead of what a killed run goes on from
            _log(folder, trainer, losses, quality, report)
            losses = []
    trainer.save(checkpoint)
    backbone = trainer.finish_backbone()
    quality = _quality(backbone, settings, targets, device)
    _log(folder, trainer, losses, quality, report)
    comparer = train_comparer(
        backbone,
        BUILTIN,
        settings,
        # Steps of their own: the comparer should not know the backbone's training images.
        stream_episodes(
            settings,
            first=10**7,
            last=10**7 + settings.comparer_steps,
            device=device,
            workers=schedule.workers,
        ),
        progress=progress,
    )
    origin = {
        "command": "dgad pretrain",
        "settings": to_dict(settings),
        "steps": trainer.step,
        "images": trainer.step * settings.domains_per_step * (settings.references + settings.queries),
        "training_families": list(TRAINING_FAMILIES),
        "training_defects": list(TRAINING_DEFECTS),
        "held_out_families": list(HELD_OUT_FAMILIES),
        "held_out_defects": list(HELD_OUT_DEFECTS),
        "held_out_patch_knn": dataclasses.asdict(quality),
        "device": device.type,
        "versions": current_versions(),
    }
    weights = folder / WEIGHTS
    write_builtin(
        weights,
        backbone=settings.backbone,
        strides=settings.strides,
        backbone_state=backbone.body.state_dict(),
        comparer_settings=to_dict(BUILTIN),
        comparer_state=comparer.state_dict(),
        origin=origin,
        card=weights_card(settings.backbone, origin),
    )
    return weights


def _quality(
    backbone: Backbone, settings: PretrainSettings, targets: tuple[TargetDomain, ...], device: torch.device
) -> FeatureQuality:
    return feature_quality(backbone, settings.backbone, targets, device, num_levels=settings.num_joined)


def _log(
    folder: Path,
    trainer: Trainer,
    losses: list[float],
    quality: FeatureQuality,
    report: Callable[[str], None],
) -> None:
    """One line for people, one for programs."""
    loss = sum(losses) / len(losses) if losses else None
    line = {"step": trainer.step, "loss": loss, **dataclasses.asdict(quality)}
    path = folder / _LOG
    before = path.read_bytes() if path.exists() else b""
    write_atomic(path, before + json.dumps(line).encode() + b"\n")
    told = "nothing to train" if loss is None else f"loss {loss:.3f}"
    report(
        f"Step {trainer.step}: {told}; patch_knn on held-out families: image AUROC"
        f" {quality.image_auroc:.3f}, pixel AUROC {quality.pixel_auroc:.3f}"
    )
