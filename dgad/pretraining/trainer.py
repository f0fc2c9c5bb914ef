"""Pretraining of a backbone: steps, averaged weights, and a checkpoint from which it goes on to the bit."""

# N images of a step, S pixels a side, C_i channels and h_i w_i size of level i

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dgad.errors import RecordError, SettingsError, TrainingError
from dgad.features.backbone import Backbone
from dgad.features.settings import FeatureSettings
from dgad.files import write_atomic
from dgad.pretraining.objective import episode_loss
from dgad.pretraining.settings import PretrainSettings
from dgad.pretraining.stream import Episodes, draw_episodes
from dgad.seeds import seed_for
from dgad.settings import to_dict

FORMAT_VERSION = 1
_RESIDUAL_START = 0.5
"""Scale of every residual branch at the start: timm's zero would leave the deeper levels empty."""
_STATISTICS_STEPS = 20
"""Steps whose images set the BatchNorm statistics of the averaged weights."""


class Trainer:
    """A backbone in training, with its averaged twin and optimiser."""

    def __init__(self, settings: PretrainSettings, device: torch.device) -> None:
        self.settings, self.device = settings, device
        features = FeatureSettings(backbone=settings.backbone, weights="none")
        backbone = Backbone(features, settings.strides, seed=seed_for(settings.seed, "backbone"))
        if not any(isinstance(m, nn.BatchNorm2d) for m in backbone.modules()):
            raise SettingsError(
                f"`backbone` must be a convolutional network with BatchNorm, but got {settings.backbone!r}."
            )
        for block in backbone.modules():
            last = getattr(block, "bn3", None) or getattr(block, "bn2", None)
            if isinstance(last, nn.BatchNorm2d):
                nn.init.constant_(last.weight, _RESIDUAL_START)
        self.backbone = backbone.to(device).to(memory_format=torch.channels_last)
        average = get_ema_multi_avg_fn(settings.average_decay)  # type: ignore[no-untyped-call]
        self.averaged = AveragedModel(self.backbone, multi_avg_fn=average)
        self.optimizer = torch.optim.AdamW(
            self.backbone.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.step = 0

    def train_step(self, drawn: Episodes) -> float:
        """One step; its loss. Raises `TrainingError` when that is not finite."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, (self.step + 1) / settings.warm_up_steps)
        num_domains, num_images = drawn.images.shape[:2]
        with _batch_statistics(self.backbone):
            maps = feature_maps(self.backbone, drawn.images.flatten(0, 1))
        loss = torch.zeros((), device=self.device)
        for i in range(num_domains):
            own = [m[i * num_images : (i + 1) * num_images] for m in maps]
            parts = episode_loss(
                own,
                drawn.masks[i],
                drawn.labels,
                num_joined=settings.num_joined,
                coarse_weight=settings.coarse_weight,
            )
            loss = loss + (parts.patch + settings.image_loss_weight * parts.image) / num_domains
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"pretraining: the loss became {value} at step {self.step + 1}; a lower learning_rate or"
                f" clip_norm usually mends it. Settings: {settings}"
            )
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.backbone.parameters(), settings.clip_norm)
        self.optimizer.step()
        self.averaged.update_parameters(self.backbone)
        self.step += 1
        return value

    def finish_backbone(self) -> Backbone:
        """The averaged weights with BatchNorm statistics of their own: what is evaluated and kept."""
        features = FeatureSettings(backbone=self.settings.backbone, weights="none")
        backbone = Backbone(features, self.settings.strides, seed=0)
        backbone.load_state_dict(self.averaged.module.state_dict())
        backbone = backbone.to(self.device).to(memory_format=torch.channels_last)
        layers = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean over the batches that follow
        with _batch_statistics(backbone), torch.no_grad():
            for i in range(_STATISTICS_STEPS):
                # Steps that training never reaches.
                drawn = draw_episodes(self.settings, -1 - i, self.device)
                feature_maps(backbone, drawn.images.flatten(0, 1))
        finished: Backbone = backbone.to(memory_format=torch.contiguous_format)
        return finished

    # Checkpoint

    def save(self, path: Path) -> None:
        """Write everything that the next step depends on, whole or not at all."""
        tensors = {f"backbone.{k}": v for k, v in self.backbone.state_dict().items()}
        tensors |= {f"averaged.{k}": v for k, v in self.averaged.state_dict().items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{k}": v for k, v in state.items()}
        plain = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
        about = {
            "format_version": str(FORMAT_VERSION),
            "step": str(self.step),
            "settings": json.dumps(to_dict(self.settings)),
        }
        write_atomic(path, safetensors.torch.save(plain, metadata=about))

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises `SettingsError` where it was made with another recipe, `RecordError` where it is damaged or
        newer.
        """
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                about = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, safetensors.SafetensorError) as error:
            raise RecordError(f"{path} is damaged ({error}): remove it to begin anew.") from error
        if int(about["format_version"]) > FORMAT_VERSION:
            raise RecordError(f"{path} was made by a newer dgad: update dgad, or name another folder.")
        _check_same_recipe(json.loads(about["settings"]), self.settings, path)
        self.backbone.load_state_dict(_under("backbone.", tensors))
        self.averaged.load_state_dict(_under("averaged.", tensors))
        own = _under("optimizer.", tensors)
        state = self.optimizer.state_dict()
        names = sorted({int(name.partition(".")[0]) for name in own})
        state["state"] = {i: _under(f"{i}.", own) for i in names}
        self.optimizer.load_state_dict(state)
        self.step = int(about["step"])


def _check_same_recipe(kept: dict[str, object], settings: PretrainSettings, path: Path) -> None:
    """Raise `SettingsError` naming what differs between a checkpoint's recipe and this one."""
    own = to_dict(settings)
    # The comparer is trained anew after the backbone, however long that was trained.
    later = ("comparer_steps", "comparer_learning_rate", "comparer_anchor_weight")
    differing = [k for k in own if k not in later and kept.get(k) != own[k]]
    if differing:
        told = ", ".join(f"`{k}` is {kept.get(k)} there and {own[k]} here" for k in differing)
        raise SettingsError(f"{path} was made by another recipe ({told}): name another folder to begin anew.")


@contextlib.contextmanager
def _batch_statistics(module: nn.Module) -> Iterator[None]:
    """BatchNorm normalises by the batch and follows it inside, by its running statistics outside."""
    layers = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False


def feature_maps(backbone: Backbone, images_N3SS: Tensor) -> Sequence[Tensor]:
    """Maps (N, C_i, h_i, w_i) in single precision, computed in bfloat16: half the time where it is had."""
    images = images_N3SS.contiguous(memory_format=torch.channels_last)
    with torch.autocast(images.device.type, dtype=torch.bfloat16):
        maps = backbone(images)
    return [m.float() for m in maps]


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
