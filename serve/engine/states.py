"""Enrolled states of domains: fetched from the store, else computed from the photographs."""

import dataclasses
import hashlib
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from dgad.calibration.calibrate import calibrate
from dgad.calibration.threshold import Calibration
from dgad.domains.base import EncodedImage
from dgad.domains.decoding import DecodeLimits
from dgad.domains.image_set import ImageSet
from dgad.domains.images import load_encoded
from dgad.methods.base import Enrolled, Method
from dgad.references.domain import DomainSettings, Reference, Upload
from dgad.references.enrolled import EnrolledStore, enrolled_key
from dgad.references.store import ReferenceStore
from serve.engine.backend import Threshold

_STORED_LIMITS = DecodeLimits(
    max_bytes=2**62, max_pixels=2 * (Image.MAX_IMAGE_PIXELS or 2**27), was_accepted_before=True
)
"""What is in a store was within the limits when it came; lower ones since must not lock it out."""
_MAX_KEPT_BYTES = 128 * 2**20
_NUM_DECODERS = 8


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """A domain's references, ready to be compared with."""

    key: str
    enrolled: Enrolled
    """Its tensors on the method's device."""
    calibration: Calibration


class EnrolledStates:
    """Fetches the enrolled states of one bundle and store, and makes missing ones; for one thread."""

    def __init__(self, method: Method, bundle_id: str, store: ReferenceStore) -> None:
        self._method = method
        self._bundle_id = bundle_id
        self._store = store
        self._enrolled = EnrolledStore(store)
        self._images: OrderedDict[tuple[str, int | None, str | None], ImageSet] = OrderedDict()

    def make_key(self, references: Sequence[Reference], settings: DomainSettings) -> str:
        """Hash what decides a state: bundle, references and settings."""
        return enrolled_key(self._bundle_id, references, settings)

    def fetch(self, domain: str, references: Sequence[Reference], settings: DomainSettings) -> State | None:
        """Load the stored state; None where it is missing or damaged."""
        key = self.make_key(references, settings)
        found = self._enrolled.load(domain, key)
        return None if found is None else self._make_state(key, *found)

    def fetch_or_make(
        self,
        domain: str,
        references: Sequence[Reference],
        settings: DomainSettings,
        uploads: Sequence[Upload] = (),
    ) -> State:
        """Load the stored state; else make it from the photographs and store it.

        The photographs of `uploads` need not be in the store.

        Raises `MissingError` for a photograph that is not there, `StoreError` for a damaged one.
        """
        if (state := self.fetch(domain, references, settings)) is not None:
            return state
        key = self.make_key(references, settings)
        at_hand = {hashlib.sha256(u.data).hexdigest(): u.data for u in uploads}
        enrolled, calibration = calibrate(
            self._method,
            self._load(domain, references, at_hand, settings),
            scheme=settings.calibration,
            coreset=settings.coreset,
        )
        self._enrolled.save(domain, key, enrolled, calibration, [r.id for r in references])
        return self._make_state(key, enrolled, calibration)

    def forget(self) -> None:
        """Keep no image and no features: after a purge nobody can tell which are of what was purged."""
        self._images.clear()
        self._method.context.cache.clear()

    def _make_state(self, key: str, enrolled: Enrolled, calibration: Calibration) -> State:
        device = self._method.context.device
        tensors = {name: tensor.to(device) for name, tensor in enrolled.tensors.items()}
        return State(
            key=key, enrolled=dataclasses.replace(enrolled, tensors=tensors), calibration=calibration
        )

    def _load(
        self,
        domain: str,
        references: Sequence[Reference],
        at_hand: Mapping[str, bytes],
        settings: DomainSettings,
    ) -> ImageSet:
        """The references as `dgad score` decodes files; scaled images stay at hand for the next time."""

        def decode(reference: Reference) -> ImageSet:
            data = at_hand.get(reference.id)
            file = EncodedImage(
                path=reference.name,
                read=lambda: self._store.image(domain, reference.id) if data is None else data,
                bit_depth=settings.bit_depth,
                scale=settings.scale,
            )
            return load_encoded([file], self._method.context.features.geometry, limits=_STORED_LIMITS)

        read_as = (settings.bit_depth, settings.scale)
        missing = [r for r in references if (r.id, *read_as) not in self._images]
        # Decoding is in Pillow's C code, which other threads need not wait for.
        with ThreadPoolExecutor(min(_NUM_DECODERS, os.cpu_count() or 1)) as decoders:
            fresh = dict(zip((r.id for r in missing), decoders.map(decode, missing), strict=True))
        loaded = [fresh.get(r.id) or self._images[r.id, *read_as] for r in references]
        for reference, image in zip(references, loaded, strict=True):
            self._images[reference.id, *read_as] = image
            self._images.move_to_end((reference.id, *read_as))
        while sum(kept.images[0].nbytes for kept in self._images.values()) > _MAX_KEPT_BYTES:
            self._images.popitem(last=False)
        region = settings.region_of_interest
        return ImageSet(
            images=[i.images[0] for i in loaded],
            keys=tuple(k for i in loaded for k in i.keys),
            regions=() if region is None else (region,) * len(loaded),
        )


def derive_threshold(calibration: Calibration, rate: float | None) -> Threshold:
    """Derive the threshold for a wanted false-alarm rate; None: the default one."""
    value, of_rate = calibration.threshold(rate)
    return Threshold(
        value=value,
        false_alarm_rate=of_rate,
        lowest_rate=calibration.lowest_rate,
        guarantee=calibration.guarantee if value is not None else "none",
        scheme=calibration.scheme,
        num_compared=calibration.num_compared,
        num_calibration=len(calibration.scores),
    )
