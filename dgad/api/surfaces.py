"""Comparers, and surfaces enrolled with them: a few normal images, a threshold made from them, scores."""

import dataclasses
import math
import os
from pathlib import Path

from PIL import Image

from dgad.api.enrolled_references import (
    EnrolledReference,
    enroll_once,
    find_scored_references,
    warn_of_duplicates,
)
from dgad.api.inputs import Images, InputImage, decode_inputs, list_inputs
from dgad.api.loading import BUILTIN, load_fitted
from dgad.api.scored import ScoredImage, Verdict
from dgad.api.surface_files import SurfaceDescription, read_surface, write_surface
from dgad.calibration.calibrate import calibrate
from dgad.calibration.threshold import Calibration, CalibrationScheme, Guarantee
from dgad.domains.domain_file import RegionLike, read_region
from dgad.domains.geometry import Geometry
from dgad.errors import BundleError, ConflictError, DataError
from dgad.evaluation.regions import regions
from dgad.methods.base import Enrolled, Method, Scores, check_references
from dgad.references.domain import DomainSettings
from dgad.settings import from_dict, to_dict


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Comparer:
    """A fitted method that compares images of a surface with a few normal ones; for one thread at a time."""

    location: str
    """`builtin`, or the absolute path of its bundle."""
    bundle_id: str
    """32 hex digits; equal for equal method, settings, features and weights."""
    method: Method = dataclasses.field(repr=False)
    """What computes: its settings, its features and its device."""

    @property
    def geometry(self) -> Geometry:
        """At what scale images are looked at, and in what tiles."""
        return self.method.context.features.geometry

    @property
    def device(self) -> str:
        """Where it computes: `cpu`, `cuda` or `cuda:N`."""
        return str(self.method.context.device)

    def enroll(
        self,
        references: Images,
        *,
        calibration: CalibrationScheme = "leave_one_out",
        false_alarm_rate: float | None = None,
        coreset: int | None = None,
        bit_depth: int | None = None,
        scale: str | None = None,
        region: RegionLike | None = None,
    ) -> "Surface":
        """Enrol normal images of one surface, and make a threshold from them alone.

        Args:
            references: Normal images, 1 or more, in any order and mixture: files, folders, arrays (uint8,
                shape (H, W, 3) or (H, W)), PIL images. One that is there twice is enrolled once.
            calibration: `leave_one_out` compares with all references, scores each against the others (in 10
                folds above 50): an approximate guarantee. `split` keeps half of them back: an exact one.
            false_alarm_rate: Wanted share of normal images above the threshold, 0 to 1. None takes the lowest
                that the references support, 1 / (n + 1), though not below 0.01.
            coreset: Compare with at most this many references (2 or more), chosen to cover the others; None
                compares with all.
            bit_depth: Of values in images of more than 8 bits a channel, 8 to 32, for these and all that the
                surface scores: 12 for a camera that writes 12 bits into 16-bit files. None takes the full
                range of the file's type.
            scale: At which this surface is looked at where its camera differs, such as `0.5` or `fit 512`;
                None takes the comparer's own.
            region: Outside of it nothing is enrolled or scored: a `RegionOfInterest`, its JSON, or the path
                of a JSON file or of a mask.

        Returns:
            The surface. With one reference it scores, but has no threshold.

        Raises:
            DataError: There is no reference, or one of them is no image; the message names it.
            SettingsError: A keyword is out of range.

        Warns:
            NearDuplicateWarning: References are nearly one and the same photograph.
            NarrowRangeWarning: References are read as too dark, because their `bit_depth` is not declared.
        """
        settings = from_dict(
            DomainSettings,
            {
                "false_alarm_rate": false_alarm_rate,
                "calibration": calibration,
                "coreset": coreset,
                "bit_depth": bit_depth,
                "scale": scale,
                "region": None if region is None else read_region(region).to_json(),
            },
        )
        inputs = list_inputs(references, "references", bit_depth=bit_depth)
        decoded = decode_inputs(
            inputs,
            self.geometry.with_scale(settings.scale),
            with_fingerprints=True,
            region=settings.region_of_interest,
        )
        check_references(decoded.images)
        enrolled = enroll_once(inputs, decoded)
        warn_of_duplicates(inputs, decoded, enrolled)
        decoded.warn_of_narrow_range("references")
        unlike = decoded.images.take([decoded.ids.index(r.id) for r in enrolled])
        state, scores = calibrate(self.method, unlike, scheme=settings.calibration, coreset=settings.coreset)
        return Surface(
            comparer=self, references=enrolled, settings=settings, enrolled=state, calibration=scores
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class Surface:
    """References of one surface as a comparer keeps them, ready to score images of that surface."""

    comparer: Comparer
    references: tuple[EnrolledReference, ...]
    """In the order they came, each once; the scores do not depend on it."""
    settings: DomainSettings
    """How the threshold is made."""
    enrolled: Enrolled
    """What the comparer's method compares with, on its device."""
    calibration: Calibration
    """Scores of normal images that were left out, and the scale of heatmaps."""

    @property
    def threshold(self) -> float | None:
        """What a score must exceed to be abnormal; None where no rate, or too low a one, is supported."""
        return self.calibration.threshold(self.settings.false_alarm_rate)[0]

    @property
    def false_alarm_rate(self) -> float | None:
        """The share of normal images, 0 to 1, that the threshold is for; None without calibration."""
        return self.calibration.threshold(self.settings.false_alarm_rate)[1]

    @property
    def lowest_rate(self) -> float | None:
        """The lowest false-alarm rate that so many references support, 1 / (n + 1); None without any."""
        return self.calibration.lowest_rate

    @property
    def guarantee(self) -> Guarantee:
        """How far the rate is promised: `exact` (`split`), `approximate` (`leave_one_out`) or `none`."""
        return self.calibration.guarantee if self.threshold is not None else "none"

    def with_false_alarm_rate(self, rate: float | None) -> "Surface":
        """The same surface with the threshold of another rate; nothing is computed anew.

        Args:
            rate: Wanted share of normal images above the threshold, above 0 and below 1; None for the lowest
                that is supported, though not below 0.01.

        Raises:
            SettingsError: The rate is out of range.
        """
        settings = from_dict(DomainSettings, {**to_dict(self.settings), "false_alarm_rate": rate})
        return dataclasses.replace(self, settings=settings)

    def score(self, images: Images) -> list[ScoredImage]:
        """Score images against the references.

        Args:
            images: One image or many, in any mixture: files, folders, arrays (uint8, shape (H, W, 3) or
                (H, W)), PIL images. An image's answer does not depend on what else is scored with it.

        Returns:
            One answer an image, in the order given, a folder's by name. Always a list, so for a single image
            take `[0]`: a path may turn out to be a folder.

        Raises:
            DataError: Something is no image; the message names it.

        Warns:
            NarrowRangeWarning: The images are read as too dark, because their `bit_depth` is not declared.
            ScoredReferenceWarning: An image is one of the references.
        """
        inputs = list_inputs(images, "images", bit_depth=self.settings.bit_depth)
        if not inputs:
            return []
        decoded = decode_inputs(
            inputs,
            self.comparer.geometry.with_scale(self.settings.scale),
            region=self.settings.region_of_interest,
        )
        decoded.warn_of_narrow_range("images", are_queries=True)
        own = find_scored_references([i.name for i in inputs], decoded.ids, self.references)
        scores = self.comparer.method.score(decoded.images, self.enrolled)
        return [
            self._answer(given, scores, index, size, same_as_reference=own[index])
            for index, (given, size) in enumerate(zip(inputs, decoded.sizes_px, strict=True))
        ]

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the surface into a folder, whole or not at all, in place of a surface that is there.

        The folder holds the enrolled state (safetensors), names and hashes of the references and the SHA-256
        of each file. It holds neither photographs nor the comparer, of which it only keeps the identity.

        Args:
            folder: To write; made where it is missing.

        Returns:
            The folder.

        Raises:
            StoreError: Something else than a surface is there already.
        """
        description = SurfaceDescription(
            bundle_id=self.comparer.bundle_id,
            comparer=self.comparer.location,
            settings=self.settings,
            references=self.references,
        )
        write_surface(Path(folder), description, self.enrolled, self.calibration)
        return Path(folder)

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], comparer: Comparer | str | os.PathLike[str] | None = None
    ) -> "Surface":
        """Read a surface that `save` has written: see `dgad.load_surface`."""
        return load_surface(folder, comparer)

    def __repr__(self) -> str:
        threshold = "no threshold"
        if self.threshold is not None:
            rate = f"{self.false_alarm_rate:.1%} false alarms ({self.guarantee})"
            threshold = f"threshold {self.threshold:.3f} for {rate}"
        return f"<Surface: {len(self.references)} references, {threshold}, comparer {self.comparer.location}>"

    def _answer(
        self,
        given: InputImage,
        scores: Scores,
        index: int,
        size_px: tuple[int, int],
        *,
        same_as_reference: str | None,
    ) -> ScoredImage:
        score = float(scores.image[index])
        if not math.isfinite(score):
            raise DataError(f"The method gives {given.name} the score {score}, which means nothing.")
        # A copy: a view would keep the maps of all images alive.
        heat = None if scores.pixels is None else scores.pixels[index].numpy().copy()
        width, height = size_px
        limit = self.calibration.map_limit
        verdict: Verdict = "uncalibrated"
        if self.threshold is not None:
            verdict = "abnormal" if score > self.threshold else "normal"

        def open_original() -> Image.Image:
            return given.read()[0].image

        return ScoredImage(
            name=given.name,
            score=score,
            p_value=self.calibration.p_value(score),
            verdict=verdict,
            threshold=self.threshold,
            false_alarm_rate=self.false_alarm_rate,
            regions=() if heat is None else regions(heat, limit, width_px=width, height_px=height),
            pixel_scores=heat,
            heat_low=self.calibration.map_low,
            heat_high=self.calibration.map_high,
            width_px=width,
            height_px=height,
            open_original=open_original,
            same_as_reference=same_as_reference,
        )


def load_comparer(source: str | os.PathLike[str] = BUILTIN, *, device: str = "auto") -> Comparer:
    """Load the comparer that ships with dgad, or the method in a bundle.

    Args:
        source: `builtin`, or the folder of a bundle such as `runs/NAME/bundle`. `builtin` is
            `comparer:builtin` at the scale `auto`: nothing is fetched, and it needs no data of yours but
            references.
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.

    Returns:
        The comparer, with every file of the bundle checked against its manifest.

    Raises:
        BundleError: There is no bundle, or it is damaged or of a newer format.
        SettingsError: There is no such device.
    """
    fitted = load_fitted(source, device)
    return Comparer(location=fitted.location, bundle_id=fitted.bundle_id, method=fitted.method)


def load_surface(
    folder: str | os.PathLike[str], comparer: Comparer | str | os.PathLike[str] | None = None
) -> Surface:
    """Read a surface that `Surface.save` has written; it gives the scores it gave before.

    Args:
        folder: What was saved.
        comparer: The comparer it was enrolled with, or the folder of its bundle, or `builtin`. None loads it
            from where it was, on the device that `auto` finds.

    Returns:
        The surface, on the comparer's device.

    Raises:
        StoreError: There is no surface in the folder, or it is damaged or of a newer format.
        ConflictError: It was enrolled with another comparer.
        BundleError: The comparer cannot be loaded.
    """
    place = Path(folder)
    description, enrolled, calibration = read_surface(place)
    if comparer is None and description.comparer != BUILTIN and not Path(description.comparer).is_dir():
        raise BundleError(
            f"{place} was enrolled with the bundle in {description.comparer}, which is not there: give the"
            " folder where it is now as `comparer`."
        )
    found = comparer if isinstance(comparer, Comparer) else load_comparer(comparer or description.comparer)
    if found.bundle_id != description.bundle_id:
        raise ConflictError(
            f"{place} was enrolled with comparer {description.bundle_id} ({description.comparer}), but"
            f" {found.location} is {found.bundle_id}: give that one, or enrol the references again."
        )
    device = found.method.context.device
    tensors = {name: tensor.to(device) for name, tensor in enrolled.tensors.items()}
    return Surface(
        comparer=found,
        references=description.references,
        settings=description.settings,
        enrolled=dataclasses.replace(enrolled, tensors=tensors),
        calibration=calibration,
    )
