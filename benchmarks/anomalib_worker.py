"""Run anomalib's PatchCore in an interpreter that has anomalib; started by `anomalib_agreement.py`.

Takes a folder with weights.safetensors (of timm's feature pyramid), images.safetensors (`references` and
`queries`, normalised float32) and settings.json; writes scores.safetensors (`image`, `pixels`).
"""

# N images, S pixels a side

import json
import sys
import time
from pathlib import Path

import torch
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from safetensors.torch import load_file, save_file

BATCH = 16


def main() -> None:
    """Fit the memory on the references, score the queries."""
    folder = Path(sys.argv[1])
    images = load_file(folder / "images.safetensors")
    model = fitted(folder, images["references"])
    started = time.perf_counter()
    with torch.no_grad():
        answers = [model(batch) for batch in torch.split(images["queries"], BATCH)]
    seconds = time.perf_counter() - started
    scores = {
        "image": torch.cat([a.pred_score.flatten() for a in answers]),
        "pixels": torch.cat([a.anomaly_map[:, 0] for a in answers]),
        "seconds": torch.tensor([seconds]),
    }
    save_file({k: v.contiguous() for k, v in scores.items()}, folder / "scores.safetensors")


def fitted(folder: Path, references_N3SS: torch.Tensor) -> PatchcoreModel:
    """The model of settings.json and weights.safetensors, with its memory of these normalised references."""
    settings = json.loads((folder / "settings.json").read_text())
    torch.set_num_threads(settings["num_threads"])
    torch.manual_seed(settings["seed"])
    model = PatchcoreModel(
        layers=settings["layers"],
        backbone=settings["backbone"],
        pre_trained=False,
        num_neighbors=settings["num_neighbours"],
    )
    model.feature_extractor.feature_extractor.load_state_dict(load_file(folder / "weights.safetensors"))
    model.train()
    for batch in torch.split(references_N3SS, BATCH):
        model(batch)
    model.subsample_embedding(settings["coreset_ratio"])
    model.eval()
    return model


if __name__ == "__main__":
    main()
