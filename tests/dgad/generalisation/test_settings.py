"""What the settings of the three methods refuse."""

from typing import Any

import pytest

from dgad.errors import SettingsError
from dgad.methods.agg import AggPairSettings, AggSettings
from dgad.methods.eisnet import EisnetPairSettings, EisnetSettings
from dgad.methods.epi_fcr import EpiFcrPairSettings, EpiFcrSettings
from dgad.settings import from_dict, to_dict

ALL = [AggSettings, AggPairSettings, EisnetSettings, EisnetPairSettings, EpiFcrSettings, EpiFcrPairSettings]


@pytest.mark.parametrize("settings_type", ALL)
def test_defaults_go_through_a_mapping_and_back(settings_type: type[Any]) -> None:
    assert from_dict(settings_type, to_dict(settings_type())) == settings_type()


@pytest.mark.parametrize("settings_type", ALL)
@pytest.mark.parametrize(
    "change",
    [
        {"num_steps": 0},
        {"normals_per_domain": 0},
        {"abnormals_per_domain": 0},
        {"learning_rate": 0.0},
        {"weight_decay": -1e-4},
        {"stride": 7},
    ],
    ids=str,
)
def test_what_all_share_is_checked(settings_type: type[Any], change: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"`{next(iter(change))}` must be"):
        from_dict(settings_type, change)


@pytest.mark.parametrize(
    ("settings_type", "change"),
    [
        (AggPairSettings, {"references_per_domain": 0}),
        (EpiFcrPairSettings, {"pair_hidden": 0}),
        (EisnetPairSettings, {"references_per_domain": 0}),
        (EpiFcrSettings, {"num_warmup_steps": -1}),
        (EpiFcrPairSettings, {"num_warmup_steps": 10_000}),
        (EpiFcrSettings, {"feature_weight": -1.0}),
        (EisnetSettings, {"jigsaw_weight": -1.0}),
        (EisnetSettings, {"queue_size": 0}),
        (EisnetSettings, {"num_negatives": 0}),
        (EisnetSettings, {"identity_probability": 1.1}),
        (EisnetPairSettings, {"ema_decay": -0.1}),
        (EisnetSettings, {"margin": 0.0}),
    ],
)
def test_what_each_adds_is_checked(settings_type: type[Any], change: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"`{next(iter(change))}` must be"):
        settings_type(**change)


@pytest.mark.parametrize("settings_type", [AggSettings, EpiFcrSettings, EisnetSettings])
def test_without_references_there_is_no_number_of_them(settings_type: type[Any]) -> None:
    with pytest.raises(SettingsError, match="unknown setting `references_per_domain`"):
        from_dict(settings_type, {"references_per_domain": 2})


def test_the_published_warm_up_can_be_had() -> None:
    assert EpiFcrSettings(num_steps=3001, num_warmup_steps=500).num_warmup_steps == 500
