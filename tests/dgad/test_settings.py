"""Settings come in from plain mappings, and say what is wrong by name."""

import dataclasses
import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Literal

import pytest

from dgad.comparer.settings import PRESETS, ComparerSettings
from dgad.errors import SettingsError, UserError
from dgad.features import settings as features_settings
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS
from dgad.references import domain as references_domain
from dgad.settings import from_dict, to_dict


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    width: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    name: str
    rate: float = 1e-3
    mode: Literal["a", "b"] = "a"
    levels: tuple[int, ...] = (1,)
    inner: Inner = dataclasses.field(default_factory=Inner)
    limit: int | None = None
    flag: bool = False


def test_round_trip_through_plain_values() -> None:
    settings = Outer(name="x", levels=(1, 2), inner=Inner(width=3), limit=4, flag=True)
    assert from_dict(Outer, to_dict(settings)) == settings


def test_numbers_as_yaml_gives_them() -> None:
    assert from_dict(Outer, {"name": "x", "rate": "1e-3"}).rate == 1e-3
    assert from_dict(Outer, {"name": "x", "rate": 2}).rate == 2.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "x", "rat": 1}, "unknown setting `rat`. Did you mean `rate`?"),
        ({}, "`name` is required"),
        ({"name": 3}, '`name` must be text, but got 3: put what stands there in quotes, as in "01".'),
        ({"name": False}, "`name` must be text, but got False: put what stands there in quotes"),
        ({"name": []}, "`name` must be text, but got []."),
        ({"name": "x", "mode": "c"}, "`mode` must be one of a, b, but got 'c'"),
        ({"name": "x", "rate": "fast"}, "`rate` must be a number, but got 'fast'"),
        ({"name": "x", "limit": 1.5}, "`limit` must be a whole number"),
        ({"name": "x", "flag": 1}, "`flag` must be true or false"),
        ({"name": "x", "levels": 3}, "`levels` must be a list"),
        ({"name": "x", "inner": {"wide": 1}}, "inner: unknown setting `wide`"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        from_dict(Outer, values)
    assert message in str(caught.value)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS.keys())
def test_presets_are_points_of_one_class(preset: ComparerSettings) -> None:
    assert from_dict(ComparerSettings, to_dict(preset)) == preset


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"num_levels": 0}, "num_levels"),
        ({"num_levels": 4, "finest_stride": 8}, "num_levels"),
        ({"hidden": 7}, "hidden"),
        ({"top_fraction": 0.0}, "top_fraction"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"ranking_weight": -1.0}, "ranking_weight"),
        ({"num_reference_patches": 0}, "num_reference_patches"),
    ],
)
def test_comparer_ranges(change: dict[str, float], name: str) -> None:
    with pytest.raises(SettingsError, match=f"`{name}` must be"):
        ComparerSettings(**change)  # type: ignore[arg-type]


def test_image_size_must_suit_every_stride() -> None:
    with pytest.raises(SettingsError, match="multiple of 32"):
        FeatureSettings(scale="squash 100")


@dataclasses.dataclass(frozen=True)
class Renamed:
    FORMER_NAMES: ClassVar[dict[str, str]] = {"largest": "bound"}

    bound: int = 1


def test_a_former_name_is_read_as_the_name_of_now() -> None:
    assert from_dict(Renamed, {"largest": 3}) == Renamed(bound=3)
    with pytest.raises(SettingsError, match="`bound` must be a whole number, but got 'x'"):
        from_dict(Renamed, {"largest": "x"})
    with pytest.raises(SettingsError, match=r"m: `largest` is the former name of `bound`: give only"):
        from_dict(Renamed, {"largest": 3, "bound": 3}, where="m")
    assert "largest" not in to_dict(from_dict(Renamed, {"largest": 3}))


@pytest.mark.parametrize(
    ("method", "former"),
    [
        ("patch_knn", "max_reference_patches"),
        ("patchcore", "max_reference_patches"),
        ("comparer", "num_reference_patches_scoring"),
    ],
)
def test_the_bounds_of_earlier_versions_are_that_of_the_memory(method: str, former: str) -> None:
    settings = from_dict(METHODS[method].settings_type, {former: 20_000})
    assert settings.max_memory_patches == 20_000


@pytest.mark.parametrize(
    ("module", "name", "values"),
    [
        (features_settings, "FeatureSettings", {"scale": "huge"}),
        (references_domain, "DomainSettings", {"region": {"polygons": []}}),
    ],
    ids=["features", "domain"],
)
def test_settings_are_checked_with_assertions_off_too(
    module: ModuleType, name: str, values: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.__file__ is not None
    optimised = ModuleType("optimised")  # as `python -O` compiles it
    monkeypatch.setitem(sys.modules, "optimised", optimised)
    code = compile(Path(module.__file__).read_text("utf-8"), module.__file__, "exec", optimize=1)
    exec(code, optimised.__dict__)
    with pytest.raises(UserError):
        getattr(optimised, name)(**values)
