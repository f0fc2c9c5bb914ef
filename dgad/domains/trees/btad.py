"""BTAD: three products whose folders say `ok` and `ko`, with masks ending in `.png` or `.bmp`."""

from dgad.domains.trees.folder import TreeVariant

BTAD = TreeVariant(
    train_normals={"train/ok": "train"},
    test="test",
    masks=("ground_truth",),
    normal_names=("ok",),
    expects="DOMAIN/{train/ok, test/{ok,ko}, ground_truth/ko}",
)
"""Defects keep their folder's name `ko`; `ok` becomes `good`, so that ids are alike in every layout."""
