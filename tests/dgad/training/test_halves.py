"""Halving a source: nothing in both, both classes in each, whatever order the samples come in."""

import dataclasses

from dgad.domains.base import Domain, EncodedImage, Sample
from dgad.training.halves import split_halves

NOTHING = EncodedImage(path="", read=lambda: b"")


def _sample(split: str, kind: str, number: int, photograph: str | None = None) -> Sample:
    return Sample(
        id=f"d/{split}/{kind}/{number:03d}",
        domain="d",
        split=split,
        kind=kind,
        image=NOTHING,
        mask=None,
        photograph=photograph,
    )


def _domain(num_good: int, num_bad: int) -> Domain:
    samples = [_sample("train", "good", i) for i in range(4)]
    samples += [_sample("test", "good", i) for i in range(num_good)]
    samples += [_sample("test", "hole", i) for i in range(num_bad)]
    return Domain(name="d", samples=tuple(samples))


def test_each_test_image_is_in_one_half_and_each_class_is_halved():
    domain = _domain(9, 6)
    training, judging = split_halves(domain)
    assert training.train_normals == judging.train_normals == domain.train_normals
    assert {s.id for s in training.tests} | {s.id for s in judging.tests} == {s.id for s in domain.tests}
    assert not {s.id for s in training.tests} & {s.id for s in judging.tests}
    assert [sum(s.label == label for s in judging.tests) for label in (0, 1)] == [4, 3]
    assert [sum(s.label == label for s in training.tests) for label in (0, 1)] == [5, 3]


def test_the_halves_do_not_depend_on_the_order_of_the_samples():
    domain = _domain(9, 6)
    backwards = dataclasses.replace(domain, samples=domain.samples[::-1])
    for one, other in zip(split_halves(domain), split_halves(backwards), strict=True):
        assert {s.id for s in one.samples} == {s.id for s in other.samples}
    other_domain = dataclasses.replace(domain, name="e")
    assert split_halves(other_domain)[1].tests != split_halves(domain)[1].tests


def test_crops_of_one_photograph_stay_together():
    crops = [
        _sample("test", "good" if i % 3 else "hole", 10 * p + i, f"photograph {p}")
        for p in range(8)
        for i in range(3)
    ]
    training, judging = split_halves(Domain(name="d", samples=tuple(crops)))
    assert not {s.photograph for s in training.tests} & {s.photograph for s in judging.tests}
    assert len({s.photograph for s in judging.tests}) == 4


def test_the_only_defect_is_there_to_learn_from():
    training, judging = split_halves(_domain(3, 1))
    assert sum(s.label for s in training.tests) == 1
    assert sum(s.label for s in judging.tests) == 0
