"""What every registered method must keep, under every preset."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from dgad.domains.image_set import ImageSet
from dgad.errors import DataError, SettingsError
from dgad.features import builtin
from dgad.methods import METHODS, method_label, parse_method
from dgad.methods.base import Context, Enrolled, Method, Scores
from tests.dgad.methods.shortened import brief, short
from tests.dgad.methods.surfaces import SIZE, context, source, surface

LABELS = [method_label(name, preset) for name, method in METHODS.items() for preset in method.presets]
NEVER_PREPARED = {"trivial", "autoencoder", "memae", "trustmae"} | {
    f"{name}{suffix}" for name in ("agg", "epi_fcr", "eisnet") for suffix in ("", "_pair")
}
"""Without a frozen backbone, or never served; a new method is expected to have one."""
SEES_NO_DEFECT = {
    "comparer:paper",  # as printed it starts from random weights; three steps teach it nothing
    "trivial",  # the defect keeps the grey values, so image statistics cannot see it
}
WITHOUT_WEIGHTS = {"trivial"}


def labels_but(left_out: set[str]) -> pytest.MarkDecorator:
    """The test's `method` is each method and preset but those."""
    assert left_out <= set(LABELS)
    return pytest.mark.parametrize("method", [x for x in LABELS if x not in left_out], indirect=True)


def weights_of(settings: Any) -> str:
    """The features that the settings can be fitted on."""
    return "builtin" if getattr(settings, "init", "") == "builtin" else "none"


def context_of(settings: Any) -> Context:
    """With the features that the settings can be fitted on; the vision transformer is timm's smallest."""
    backbone = "resnet18" if getattr(settings, "token_layer", None) is None else "test_vit"
    return context(weights_of(settings), backbone)


def fitted(label: str, seed: int = 0, *, shortened: Callable[[Any], Any] = short) -> Method:
    name, _, settings = parse_method(label)
    method = METHODS[name](shortened(settings), context_of(settings))
    method.fit([source("a", 6), source("b", 9, seed=5)], seed=seed)
    return method


@pytest.fixture(scope="module", autouse=True)
def builtin_everywhere(drawn_builtin: builtin.Builtin) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(builtin, "_shipped", lambda: drawn_builtin)
        yield


@pytest.fixture(scope="module", params=LABELS)
def method(request: pytest.FixtureRequest) -> Method:
    return fitted(request.param)


@pytest.fixture(scope="module")
def references() -> ImageSet:
    return surface(5, 12, defect=False, seed=40)


@pytest.fixture(scope="module")
def queries() -> ImageSet:
    good, bad = surface(6, 12, defect=False, seed=50), surface(6, 12, defect=True, seed=60)
    return ImageSet(images=[*good.images, *bad.images], keys=(*good.keys, *bad.keys))


def test_shapes_and_types(method: Method, references: ImageSet, queries: ImageSet) -> None:
    scores = method.score(queries, method.enroll(references))
    assert scores.image.shape == (12,)
    assert scores.image.dtype == torch.float32
    assert torch.isfinite(scores.image).all()
    assert (scores.pixels is not None) == method.traits.gives_pixels
    if scores.pixels is not None:
        assert [m.shape for m in scores.pixels] == [(SIZE, SIZE)] * 12
        assert torch.isfinite(torch.stack(scores.pixels)).all()


@labels_but(SEES_NO_DEFECT)
def test_higher_is_more_anomalous_on_an_obvious_defect(
    method: Method, references: ImageSet, queries: ImageSet
) -> None:
    if not method.traits.gives_pixels:
        # Whether a classifier of whole images transfers from two sources is a matter of the draw; the
        # direction of its scores is not, where it was trained.
        for own in (source("a", 6), source("b", 9, seed=5)):
            seen = method.score(own.images, method.enroll(own.images.take(range(8))))
            assert roc_auc_score(own.labels, seen.image.numpy()) > 0.85
        return
    scores = method.score(queries, method.enroll(references))
    assert roc_auc_score([0] * 6 + [1] * 6, scores.image.numpy()) > 0.9


def test_batch_equals_single_and_cached_equals_uncached(
    method: Method, references: ImageSet, queries: ImageSet
) -> None:
    check_each_query_is_scored_alone(method, queries, method.enroll(references))


def check_each_query_is_scored_alone(method: Method, queries: ImageSet, enrolled: Enrolled) -> None:
    whole = method.score(queries, enrolled)
    for i in (0, 7):
        single = method.score(ImageSet(images=queries.images[i : i + 1]), enrolled)
        torch.testing.assert_close(single.image, whole.image[i : i + 1], rtol=1e-4, atol=1e-4)
        if whole.pixels is not None and single.pixels is not None:
            torch.testing.assert_close(single.pixels[0], whole.pixels[i], rtol=1e-4, atol=1e-4)


def test_preparing_a_mixed_batch_changes_no_score(
    method: Method, references: ImageSet, queries: ImageSet
) -> None:
    """Queries of several targets, some of them twice, are prepared together; each is then scored alone."""
    enrolled = method.enroll(references)
    alone = [method.score(ImageSet(images=queries.images[i : i + 1]), enrolled) for i in (0, 7)]
    other = surface(3, 7, defect=False, seed=90)
    fresh = tuple(f"{key} prepared" for key in queries.keys)
    mixed = ImageSet(
        images=[*other.images, *queries.images, queries.images[0]],
        keys=(*other.keys, *fresh, fresh[0]),
    )
    method.prepare(mixed)
    method.prepare(ImageSet(images=queries.images))  # without keys there is nothing to keep
    method.prepare(mixed.take([]))
    together = method.score(ImageSet(images=queries.images, keys=fresh), enrolled)
    for i, single in zip((0, 7), alone, strict=True):
        torch.testing.assert_close(together.image[i : i + 1], single.image, rtol=1e-4, atol=1e-4)
        if together.pixels is not None and single.pixels is not None:
            torch.testing.assert_close(together.pixels[i], single.pixels[0], rtol=1e-4, atol=1e-4)


@labels_but(NEVER_PREPARED)
def test_a_frozen_backbone_runs_when_queries_are_prepared_and_not_again(
    method: Method, references: ImageSet, queries: ImageSet
) -> None:
    assert method.traits.servable
    backbone: Any = getattr(method, "backbone")  # noqa: B009  # not every method has one
    enrolled = method.enroll(references)
    fresh = ImageSet(images=queries.images, keys=tuple(f"{key} counted" for key in queries.keys))
    seen: list[int] = []
    watch = backbone.register_forward_hook(lambda module, inputs, maps: seen.append(len(inputs[0])))
    try:
        method.prepare(fresh, [enrolled] * len(fresh))
        method.prepare(fresh, [enrolled] * len(fresh))
        assert sum(seen) == len(fresh)
        method.score(fresh.take([3, 4]), enrolled)
        method.score(fresh.take([9]), enrolled)
        assert sum(seen) == len(fresh)
    finally:
        watch.remove()


def test_levels_are_what_image_scores_are_the_highest_of(
    method: Method, references: ImageSet, queries: ImageSet
) -> None:
    scores = method.score(queries, method.enroll(references))
    if scores.levels is None:
        assert method.name != "comparer"
        return
    assert scores.levels.dtype == torch.float32
    torch.testing.assert_close(scores.levels.amax(1), scores.image, rtol=0, atol=0)


class NormalisedByQueries(METHODS["patch_knn"]):  # type: ignore[misc]
    """A planted leak: what the target's test images are like decides every score."""

    def score(self, queries: ImageSet, enrolled: Enrolled) -> Scores:
        scores = super().score(queries, enrolled)
        return dataclasses.replace(scores, image=scores.image - scores.image.median())


def test_a_normalisation_over_the_queries_is_caught(references: ImageSet, queries: ImageSet) -> None:
    method = NormalisedByQueries(METHODS["patch_knn"].presets["default"], context())
    method.fit([], seed=0)
    with pytest.raises(AssertionError):
        check_each_query_is_scored_alone(method, queries, method.enroll(references))


def test_the_order_of_references_is_irrelevant(
    method: Method, references: ImageSet, queries: ImageSet
) -> None:
    forward = method.score(queries, method.enroll(references))
    backward = method.score(queries, method.enroll(references.take([4, 2, 0, 1, 3])))
    torch.testing.assert_close(forward.image, backward.image, rtol=1e-4, atol=1e-4)


def test_one_reference_is_enough_and_none_is_refused(
    method: Method, references: ImageSet, queries: ImageSet
) -> None:
    scores = method.score(queries, method.enroll(references.take([0])))
    assert torch.isfinite(scores.image).all()
    with pytest.raises(DataError, match="At least 1 reference"):
        method.enroll(references.take([]))


def test_enrolled_state_is_named_tensors_only(method: Method, references: ImageSet) -> None:
    enrolled = method.enroll(references)
    assert enrolled.method == method.name
    assert enrolled.num_references == 5
    assert all(isinstance(t, torch.Tensor) for t in enrolled.tensors.values())


def test_saved_and_loaded_methods_agree(method: Method, references: ImageSet, queries: ImageSet) -> None:
    other = METHODS[method.name](method.settings, context_of(method.settings))
    other.load_state(method.state())
    expected = method.score(queries, method.enroll(references))
    np.testing.assert_array_equal(other.score(queries, other.enroll(references)).image, expected.image)


@pytest.mark.parametrize("label", LABELS)
def test_a_seed_decides_everything(label: str, references: ImageSet, queries: ImageSet) -> None:
    scores = []
    for seed in (1, 1, 2):
        method = fitted(label, seed, shortened=brief)
        scores.append(method.score(queries, method.enroll(references)).image)
    torch.testing.assert_close(scores[0], scores[1], rtol=0, atol=0)
    if label in ("trivial", "comparer:builtin"):  # nothing is drawn
        torch.testing.assert_close(scores[0], scores[2], rtol=0, atol=0)
    else:
        assert not torch.equal(scores[0], scores[2])


@pytest.mark.parametrize("label", LABELS)
def test_what_settings_need_is_at_most_what_the_method_needs(label: str) -> None:
    name, _, settings = parse_method(label)
    most, own = METHODS[name].traits, METHODS[name].traits_of(settings)
    assert own.min_sources <= most.min_sources
    assert own.learns <= most.learns
    assert own.needs_defects <= most.needs_defects
    for same in ("trains_at_enrolment", "gives_pixels", "servable"):
        assert getattr(own, same) == getattr(most, same)


@pytest.mark.parametrize("label", LABELS)
def test_a_method_fits_without_sources_exactly_where_it_says_so(label: str) -> None:
    name, _, settings = parse_method(label)
    method = METHODS[name](short(settings), context_of(settings))
    if METHODS[name].traits_of(settings).min_sources > 0:
        with pytest.raises(DataError, match="At least 1 source"):
            method.fit([], seed=0)
        return
    method.fit([], seed=0)
    with_sources = fitted(label).state()
    for key, value in method.state().items():
        torch.testing.assert_close(value, with_sources[key], rtol=0, atol=0)


@pytest.mark.parametrize("name", METHODS)
def test_on_cuda_and_cpu_alike(name: str, references: ImageSet, queries: ImageSet) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    method = fitted(name)
    on_gpu = METHODS[name](method.settings, dataclasses.replace(context(), device=torch.device("cuda")))
    on_gpu.load_state(method.state())
    expected = method.score(queries, method.enroll(references))
    torch.testing.assert_close(
        on_gpu.score(queries, on_gpu.enroll(references)).image, expected.image, rtol=1e-2, atol=1e-2
    )


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.traits.needs_defects])
def test_sources_without_defects_are_refused(name: str) -> None:
    good = source("a", 6)
    normals = dataclasses.replace(good, labels=torch.zeros_like(good.labels))
    method = METHODS[name](short(parse_method(name)[2]), context())
    with pytest.raises(DataError, match="`a` has no defects"):
        method.fit([normals], seed=0)


def test_a_wrong_shape_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"\(N, 3, H, W\), but got torch.float32"):
        ImageSet(images=torch.zeros(1, 3, SIZE, SIZE))
    with pytest.raises(DataError, match=r"\(2, 1, 64, 64\)"):
        ImageSet(images=torch.zeros(2, 1, SIZE, SIZE, dtype=torch.uint8))


def test_unknown_methods_and_presets_are_named() -> None:
    with pytest.raises(SettingsError, match=r"one of .*comparer, .*patch_knn, .*, but got 'comparr'"):
        parse_method("comparr")
    with pytest.raises(SettingsError, match=r"presets robust, paper.*'papr'. Did you mean `paper`"):
        parse_method("comparer:papr")


@pytest.mark.parametrize("label", [label for label in LABELS if label not in WITHOUT_WEIGHTS])
def test_weights_of_other_settings_are_refused(label: str) -> None:
    method = fitted(label, shortened=brief)
    state = dict(method.state())
    state.pop(next(iter(state)))
    with pytest.raises(DataError, match="do not fit the settings"):
        method.load_state(state)
