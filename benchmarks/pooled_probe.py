"""How much an image's average feature says: `python benchmarks/pooled_probe.py --data DIR`.

The image-level classifiers see one average of the coarsest frozen map. Here a logistic regression on that
average is trained on the surface itself (cross-validated: an upper bound of what a linear classifier of it
can know) and on the other surfaces, with and without the references' average subtracted; beside it the
distance to the references' average. Where all are near .5, a classifier of the average has nothing to learn.
"""

import argparse
import sys

import numpy as np
import torch
from ablation import figure, tell
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dgad.domains import Domain, open_dataset
from dgad.domains.geometry import Geometry
from dgad.domains.images import load_images
from dgad.errors import UserError
from dgad.features.backbone import Backbone
from dgad.features.settings import FeatureSettings

STRIDE = 16


def averages(domain: Domain, body: Backbone, size_px: int, num_references: int) -> tuple[np.ndarray, ...]:
    """(test images (N, C), their labels (N,), the references' mean (C,))."""
    geometry = Geometry(scale=f"squash {size_px}")
    with torch.no_grad():
        tests = body(load_images(domain.tests, geometry).stack())[0].mean((2, 3)).numpy()
        normals = load_images(
            domain.train_normals[:num_references], Geometry(scale=f"squash {size_px}")
        ).stack()
        references = body(normals)[0].mean((2, 3)).numpy().mean(0)
    return tests, np.array([s.label for s in domain.tests]), references


def main() -> None:
    """Print one line a surface."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="folder or URI of a data set")
    parser.add_argument("--weights", default="builtin")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--num-references", type=int, default=10)
    given = parser.parse_args()
    dataset = open_dataset(given.data)
    body = Backbone(
        FeatureSettings(weights=given.weights, scale=f"squash {given.image_size}"), (STRIDE,), seed=0
    )
    found = {
        name: averages(domain, body, given.image_size, given.num_references)
        for name, domain in dataset.domains.items()
    }
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    folds = StratifiedKFold(6, shuffle=True, random_state=0)
    print(f"{'':16}{'itself':>8}{'others':>8}{'others, less references':>26}{'distance':>10}")
    for name, (tests, labels, references) in found.items():
        own = cross_val_predict(probe, tests, labels, cv=folds, method="decision_function")
        others = [found[other] for other in found if other != name]
        known = np.concatenate([other[1] for other in others])
        row = [roc_auc_score(labels, own)]
        for less in (0.0, 1.0):
            probe.fit(np.concatenate([t - less * r for t, _, r in others]), known)
            row.append(roc_auc_score(labels, probe.decision_function(tests - less * references)))
        row.append(roc_auc_score(labels, np.linalg.norm(tests - references, axis=1)))
        shown = [figure(value) for value in row]
        print(f"{name:16}{shown[0]:>8}{shown[1]:>8}{shown[2]:>26}{shown[3]:>10}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        tell(f"Error: {error}")
        sys.exit(2)
