"""Pretraining goes on from its checkpoint to the bit, and tells what it cannot go on from."""

import dataclasses
from pathlib import Path

import pytest
import torch

from dgad.errors import RecordError, SettingsError, TrainingError
from dgad.pretraining.evaluation import draw_held_out_targets, feature_quality
from dgad.pretraining.settings import PretrainSettings
from dgad.pretraining.stream import draw_episodes, stream_episodes
from dgad.pretraining.trainer import Trainer

TINY = PretrainSettings(
    strides=(4, 8), num_joined=2, image_size_px=64, domains_per_step=2, references=2, normals=1, abnormals=1
)
CPU = torch.device("cpu")


def steps(trainer: Trainer, first: int, last: int) -> list[float]:
    drawn = stream_episodes(trainer.settings, first=first, last=last, device=CPU, workers=0)
    return [trainer.train_step(d) for d in drawn]


def test_a_run_goes_on_from_its_checkpoint_to_the_bit(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    whole = Trainer(TINY, CPU)
    losses = steps(whole, 0, 4)
    first = Trainer(TINY, CPU)
    steps(first, 0, 2)
    first.save(tmp_path / "checkpoint.safetensors")
    second = Trainer(TINY, CPU)
    second.load(tmp_path / "checkpoint.safetensors")
    assert second.step == 2
    assert steps(second, 2, 4) == losses[2:]
    for name, value in whole.averaged.state_dict().items():
        assert torch.equal(value, second.averaged.state_dict()[name]), name


def test_a_checkpoint_of_another_recipe_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    Trainer(TINY, CPU).save(path)
    with pytest.raises(SettingsError, match=r"`seed` is 0 there and 1 here"):
        Trainer(dataclasses.replace(TINY, seed=1), CPU).load(path)
    # How long the comparer is trained afterwards is no part of the backbone's recipe.
    Trainer(dataclasses.replace(TINY, comparer_steps=3), CPU).load(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RecordError, match="damaged"):
        Trainer(TINY, CPU).load(path)


def test_worker_processes_draw_what_the_trainer_itself_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 110)  # longer than a Unix socket's path may be, as schedulers set it
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    for step, drawn in enumerate(stream_episodes(TINY, first=3, last=6, device=CPU, workers=1), start=3):
        own = draw_episodes(TINY, step, CPU)
        assert torch.equal(drawn.images, own.images)
        assert torch.equal(drawn.masks, own.masks)
        assert drawn.labels.tolist() == [0, 1]


def test_queries_come_first_and_only_the_abnormal_ones_are_masked() -> None:
    drawn = draw_episodes(dataclasses.replace(TINY, normals=2, abnormals=2, references=3), 0, CPU)
    assert drawn.images.shape == (2, 7, 3, 64, 64)
    assert drawn.masks.shape == (2, 4, 64, 64)
    assert drawn.masks.flatten(2).any(2).tolist() == [[False, False, True, True]] * 2


def test_the_averaged_weights_are_kept_with_statistics_of_their_own() -> None:
    trainer = Trainer(TINY, CPU)
    steps(trainer, 0, 1)
    finished = trainer.finish_backbone()
    averaged = dict(trainer.averaged.module.named_parameters())
    for name, value in finished.named_parameters():
        assert torch.equal(value, averaged[name])
    images = draw_episodes(TINY, 0, CPU).images.flatten(0, 1)
    together, alone = finished(images), finished(images[:1])
    assert torch.allclose(together[0][:1], alone[0], atol=1e-4), "a score depends on its batch"
    assert finished(images)[0].std() < 10


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step() -> None:
    trainer = Trainer(TINY, CPU)
    with torch.no_grad():
        next(trainer.backbone.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="pretraining: the loss became nan at step 1"):
        steps(trainer, 0, 1)


def test_held_out_surfaces_measure_features() -> None:
    targets = draw_held_out_targets(domains_each=1, image_size_px=64)
    assert len({t.name for t in targets}) == len(targets) == 5
    backbone = Trainer(TINY, CPU).finish_backbone()
    found = feature_quality(backbone, "resnet18", targets[:2], CPU, num_levels=1)
    assert 0.3 < found.image_auroc <= 1
    assert 0.3 < found.pixel_auroc <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strides": (8, 4)}, "strides"),
        ({"image_size_px": 100}, "image_size_px"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"average_decay": 1.0}, "average_decay"),
        ({"references": 0}, "references"),
    ],
)
def test_a_recipe_out_of_range_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        dataclasses.replace(TINY, **change)  # type: ignore[arg-type]


def test_a_backbone_without_batch_normalisation_is_refused() -> None:
    with pytest.raises(SettingsError, match="BatchNorm"):
        Trainer(dataclasses.replace(TINY, backbone="convnext_atto", strides=(4,), num_joined=1), CPU)
