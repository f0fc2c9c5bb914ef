r"""Does our `patchcore` answer as anomalib's does?

    python benchmarks/anomalib_agreement.py --data DIR --anomalib-python PATH

Both get the same backbone weights, the same normalised images and the same settings; anomalib runs in its own
interpreter and never becomes a dependency of ours. Printed for every domain are the image AUROC of both, the
largest relative difference of an image score, and the correlation of all pixels of all maps. It exits 1 where
an AUROC differs by more than .01 or maps correlate less than .99. With a --coreset-ratio below 1 the two draw
different coresets, which is not a disagreement: the table is printed without a verdict.

The interpreter, beside an environment that has torch and timm (here .venv; anomalib's own pins would fetch
torch again):

    python -m venv /tmp/anomalib
    echo "$PWD/.venv/lib/python3.11/site-packages" > /tmp/anomalib/lib/python3.11/site-packages/shared.pth
    /tmp/anomalib/bin/pip install --no-deps anomalib==2.7.0 jsonargparse==4.41.0 \
        antlr4-python3-runtime==4.9.3 docstring-parser einops freia imagecodecs kornia kornia_rs lightning \
        lightning-utilities matplotlib omegaconf opencv-python-headless pandas pytorch-lightning \
        rich-argparse scikit-image tifffile torchmetrics typeshed-client contourpy cycler fonttools imageio \
        importlib_resources kiwisolver lazy-loader networkx pyparsing python-dateutil
"""

# N images, S pixels a side

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score
from torch import Tensor

from dgad.domains import open_dataset
from dgad.domains.geometry import Geometry
from dgad.domains.image_set import ImageSet
from dgad.errors import UserError
from dgad.evaluation.scoring import TargetDomain, draw_references, load_target, parse_num_references
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods.base import Context, Scores
from dgad.methods.patchcore import PatchcoreMethod, PatchcoreSettings

WORKER = Path(__file__).parent / "anomalib_worker.py"
LAYERS: Mapping[int, str] = {4: "layer1", 8: "layer2", 16: "layer3", 32: "layer4"}
"""Names of a ResNet's strides."""
MAX_AUROC_DIFFERENCE = 0.01
MIN_CORRELATION = 0.99


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Both answers on one domain."""

    domain: str
    ours: float
    """Image AUROC."""
    theirs: float
    largest_difference: float
    """Of an image score, relative to anomalib's."""
    correlation: float
    """Pearson's, over all pixels of all maps."""
    ours_ms: float
    """Per image; both in batches of 16, features included."""
    theirs_ms: float


def compare(target: TargetDomain, method: PatchcoreMethod, options: argparse.Namespace) -> Agreement:
    """Score one domain's queries with both."""
    drawn = draw_references(target.name, len(target.normals), options.num_references, options.seed)
    references = target.normals.take(drawn).without_keys()
    queries = ImageSet(images=target.queries.images)
    enrolled = method.enroll(references)
    started = time.perf_counter()
    ours = method.score(queries, enrolled)
    seconds = time.perf_counter() - started
    theirs = run_anomalib(method, references, queries, options)
    assert ours.pixels is not None
    return Agreement(
        domain=target.name,
        ours=float(roc_auc_score(target.labels, ours.image)),
        theirs=float(roc_auc_score(target.labels, theirs["image"])),
        largest_difference=float(((ours.image - theirs["image"]) / theirs["image"]).abs().max()),
        correlation=correlation(ours, theirs["pixels"]),
        ours_ms=1000 * seconds / len(queries),
        theirs_ms=1000 * float(theirs["seconds"]) / len(queries),
    )


def correlation(ours: Scores, theirs_NSS: Tensor) -> float:
    """Pearson's correlation of all pixels."""
    assert ours.pixels is not None
    return float(
        np.corrcoef(torch.stack(ours.pixels).flatten().double(), theirs_NSS.flatten().double())[0, 1]
    )


def run_anomalib(
    method: PatchcoreMethod, references: ImageSet, queries: ImageSet, options: argparse.Namespace
) -> dict[str, Tensor]:
    """anomalib's image scores (N,), maps (N, S, S) and seconds, by its own interpreter."""
    settings: dict[str, Any] = {
        "backbone": options.backbone,
        "layers": [LAYERS[s] for s in method.settings.strides],
        "coreset_ratio": method.settings.coreset_ratio,
        "num_neighbours": method.settings.num_neighbours,
        "seed": options.seed,
        "num_threads": torch.get_num_threads(),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "settings.json").write_text(json.dumps(settings))
        weights = {name: value.contiguous() for name, value in method.backbone.body.state_dict().items()}
        save_file(weights, folder / "weights.safetensors")
        images = {"references": references, "queries": queries}
        normalised = {k: method.backbone.normalise(v.stack()).contiguous() for k, v in images.items()}
        save_file(normalised, folder / "images.safetensors")
        done = subprocess.run(
            [options.anomalib_python, str(WORKER), name], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            sys.exit(f"anomalib failed; see the environment in --help.\n{done.stderr[-2000:]}")
        return load_file(folder / "scores.safetensors")


def agrees(row: Agreement) -> bool:
    """Whether both answers are as near to each other as they should be."""
    return abs(row.ours - row.theirs) <= MAX_AUROC_DIFFERENCE and row.correlation >= MIN_CORRELATION


def parse_options() -> argparse.Namespace:
    """Raises `SettingsError` for a number of references that is none."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--anomalib-python", required=True, help="the interpreter that has anomalib")
    parser.add_argument("--backbone", default="resnet18", help="a ResNet of timm")
    parser.add_argument("--weights", default="builtin", help="as `dgad evaluate` takes them")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--num-references", type=parse_num_references, default=10)
    parser.add_argument("--coreset-ratio", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Print a row as each domain is done; exit 1 where one differs that should not."""
    options = parse_options()
    features = FeatureSettings(
        backbone=options.backbone, weights=options.weights, scale=f"squash {options.image_size}"
    )
    context = Context(features=features, device=torch.device("cpu"), cache=FeatureCache(max_bytes=0))
    method = PatchcoreMethod(PatchcoreSettings(coreset_ratio=options.coreset_ratio), context)
    method.fit((), seed=options.seed)
    dataset = open_dataset(options.data)
    print(
        f"{options.backbone}, weights {options.weights}, {options.image_size} px, {options.num_references}"
        f" references, coreset ratio {options.coreset_ratio}, seed {options.seed}\n"
        f"{'domain':16}{'ours':>8}{'anomalib':>10}{'difference':>12}{'largest score difference':>26}"
        f"{'map correlation':>17}{'ms ours':>9}{'anomalib':>10}"
    )
    all_agree = True
    for name, domain in dataset.domains.items():
        row = compare(load_target(domain, Geometry(scale=f"squash {options.image_size}")), method, options)
        all_agree &= agrees(row)
        print(
            f"{name:16}{row.ours:8.4f}{row.theirs:10.4f}{row.ours - row.theirs:12.4f}"
            f"{row.largest_difference:26.1e}{row.correlation:17.6f}{row.ours_ms:9.1f}{row.theirs_ms:10.1f}",
            flush=True,
        )
    if options.coreset_ratio < 1:
        sys.exit(0)
    print("Both agree." if all_agree else "They differ.")
    sys.exit(0 if all_agree else 1)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"{error}")
