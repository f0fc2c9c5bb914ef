"""The held-out families as a data set that every command reads."""

from pathlib import Path

import held_out
import numpy as np

from dgad.domains import open_dataset
from dgad.domains.images import load_masks
from dgad.domains.procedural import HELD_OUT_FAMILIES


def test_every_held_out_family_is_a_domain_with_exact_masks(tmp_path: Path) -> None:
    folder = tmp_path / "held_out"
    held_out.write(folder, seed=0, num_train=2, num_good=1, num_defective=2, image_size_px=64)
    dataset = open_dataset(str(folder))
    assert set(dataset.domains) == set(HELD_OUT_FAMILIES)
    for domain in dataset.domains.values():
        assert len(domain.train_normals) == 2
        assert sorted(s.label for s in domain.tests) == [0, 1, 1]
        for sample, mask in zip(
            domain.tests, load_masks(domain.tests, [(64, 64)] * len(domain.tests)), strict=True
        ):
            assert sample.label == 0 or (mask is not None and np.any(mask))
