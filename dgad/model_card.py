"""The text that travels with a bundle: what it is for, what it reached, and what it cannot do."""

from collections.abc import Mapping, Sequence
from typing import Any

from dgad.features.normalisation import parse_normalisation
from dgad.features.origin import describe_origin
from dgad.methods.base import Method
from dgad.settings import to_dict

_METRIC_TITLES = {
    "image_auroc": "image AUROC",
    "f1_max": "F1-max",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO 30%",
}
_TRAINED = (
    ", then trained on the others. The bundled weights were trained on all of them, so no image here can"
    " test them: expect this on a new surface, not better."
)
_NOT_TRAINED = "; no weight was trained on any of them. Expect this on a new surface, not better."


def model_card(
    method: Method,
    *,
    label: str,
    training_domains: Sequence[str],
    num_references: int,
    protocol: str,
    targets: Mapping[str, Mapping[str, float | None]],
    comparison: Mapping[str, float | None],
) -> str:
    """Write the text of `MODEL_CARD.md`, in Markdown.

    `targets` holds the metrics of the nested estimate by held-out domain, `comparison` the mean image
    AUROC of every row of the leaderboard by label.
    """
    features = method.context.features
    backbones = f"`{features.backbone}`" + (f" joined with `{features.second}`" if features.second else "")
    normalised = parse_normalisation(features.normalisation).describe(features.backbone)
    sections = (
        f"# Model card: {label}",
        f"{method.title}, backbone {backbones}, {features.geometry.describe()}"
        + (f", BatchNorm with {normalised}." if method.takes_statistics else "."),
        "## Intended use",
        "Finding defects on one textured surface at a time that it was never trained on, from some"
        " photographs of good parts of that surface (references). It was judged with"
        f" {num_references} references per surface. A score is comparable within one surface and one set of"
        " references only. It is an aid to inspection: do not let it be the only check where a missed defect"
        " can hurt somebody.",
        "## Training domains",
        _training(method, training_domains),
        "## Expected performance",
        f"Each domain held out in turn, settings chosen without it (protocol: {protocol})"
        + (_TRAINED if training_domains else _NOT_TRAINED),
        _table(targets),
        "In brackets 95% over that domain's test images: they say nothing of other surfaces.",
        *_comparison(label, comparison),
        "## Calibration",
        "Scores are not calibrated probabilities and carry no threshold. A threshold comes from good parts of"
        " the new surface: with n of them the smallest false-alarm rate that can be promised is 1/(n+1), so"
        " ten photographs support 9.1%, 19 give 5%, and 99 give 1%.",
        "## Limits",
        "- Few domains stand behind the figures above: another surface can be far off their mean.\n"
        "- Light, camera, scale and position must be those of the references; a change scores as a defect.\n"
        f"- Images are looked at at this scale: {features.geometry.describe()}. A defect smaller than a pixel"
        " there is lost.\n"
        "- What the references show is normal, whatever it is: a defect among them hides its like.",
        "## Origin and licence of the weights",
        describe_origin(features),
        "## Settings",
        "\n".join(f"- `{k}`: {v}" for k, v in to_dict(method.settings).items()) or "There is nothing to set.",
    )
    return "\n\n".join(sections) + "\n"


def _training(method: Method, domains: Sequence[str]) -> str:
    if not method.traits_of(method.settings).learns:
        return "none: with these settings nothing is learnt from them."
    num_drawn = getattr(method.settings, "num_synthetic_sources", 0)
    drawn = f"{num_drawn} procedural domains that dgad drew itself" if num_drawn else ""
    return "; ".join(part for part in (", ".join(domains), drawn) if part)


def _table(targets: Mapping[str, Mapping[str, float | None]]) -> str:
    if not targets:
        return "Nothing was measured."
    names = list(_METRIC_TITLES)
    lines = [["held-out domain", *_METRIC_TITLES.values()], ["---", *["---:"] * len(names)]]
    for domain, row in targets.items():
        auroc, *others = (_figure(row.get(n)) for n in names)
        low, high = row.get("image_auroc_low"), row.get("image_auroc_high")
        between = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
        lines.append([domain, auroc + between, *others])
    means = []
    for name in names:
        values = [v for row in targets.values() if (v := row.get(name)) is not None]
        means.append(sum(values) / len(values) if values else None)
    lines.append(["mean", *map(_figure, means)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _comparison(label: str, means: Mapping[str, float | None]) -> tuple[str, ...]:
    others = {k: v for k, v in means.items() if k != label and v is not None}
    own: Any = means.get(label)
    if not others or own is None:
        return ()
    rows = "; ".join(f"`{k}` {v:.3f}" for k, v in sorted(others.items(), key=lambda item: -item[1]))
    better = [k for k, v in others.items() if v > own]
    verdict = (
        f"In the mean {', '.join(f'`{k}`' for k in better)} did better than `{label}` on these domains."
        if better
        else f"None of them did better in the mean than `{label}`."
    )
    return (f"Mean image AUROC beside it, same folds and references: `{label}` {own:.3f}; {rows}. {verdict}",)


def _figure(value: float | None) -> str:
    return "not applicable" if value is None else f"{value:.3f}"
