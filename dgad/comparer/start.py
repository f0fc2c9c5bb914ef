"""Where a comparer starts from, if not from drawn weights: the one that ships with dgad."""

from dgad.comparer.model import Comparer
from dgad.comparer.settings import STRUCTURE, ComparerSettings
from dgad.errors import SettingsError, WeightsError
from dgad.features.builtin import BuiltinInfo, read_builtin
from dgad.features.settings import FeatureSettings
from dgad.settings import from_dict


def check_start(settings: ComparerSettings, features: FeatureSettings) -> None:
    """Raise `UserError` unless the settings' start is to be had on these features."""
    if settings.init != "builtin":
        return
    if features.weights != "builtin":
        raise SettingsError(
            "`init` builtin needs the backbone it was learnt on, so `weights` must be builtin, but got"
            f" {features.weights!r}: use --weights builtin, or set `init` to difference or random."
        )
    shipped = shipped_settings(read_builtin().info)
    differing = [
        f"`{name}` must be {wanted}, but got {got}"
        for name in STRUCTURE
        if (got := getattr(settings, name)) != (wanted := getattr(shipped, name))
    ]
    if differing:
        raise SettingsError(
            f"`init` builtin takes the shipped comparer as it was made: {'; '.join(differing)}. Set them so,"
            " or set `init` to difference or random."
        )


def shipped_settings(info: BuiltinInfo) -> ComparerSettings:
    """The settings that the shipped comparer was made with."""
    return from_dict(ComparerSettings, info.comparer, where="the builtin comparer")


def load_builtin(comparer: Comparer) -> None:
    """Fill every weight of a comparer that `check_start` has let through."""
    try:
        comparer.load_state_dict(dict(read_builtin().comparer))
    except RuntimeError as error:
        raise WeightsError(
            "The builtin comparer does not fit the settings it carries: install dgad again, or set `init` to"
            " difference or random."
        ) from error
