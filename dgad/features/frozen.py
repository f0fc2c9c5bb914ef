"""Feature maps of a backbone that no longer changes: block by block, and kept until they are wanted again."""

# N images, B blocks of one shape, C_i channels of level i, h_i w_i its cells, s_i its stride

import dataclasses
import warnings
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.errors import DgadWarning, SettingsError
from dgad.features.adapted_bodies import AdaptedBodies
from dgad.features.backbone import Backbone, channels_last
from dgad.features.blocks import BLOCK_PX, Cutting, Placement, Window, cut_image, cut_pixels, keep_touched, up
from dgad.features.cache import FeatureCache
from dgad.features.context import Context, measure_context
from dgad.features.disk_cache import FeatureKey
from dgad.features.statistics import Statistics

_SAFE_ALIGN_PX = 32
"""Images of such multiples are taken whole by every pyramid, so nothing is measured for them."""
_KEPT_SHARE = 4
"""An image whose maps fill more than one part in so many of the cache would only push out the others."""
_MAX_WAITING_PX = 4 * BLOCK_PX
"""Pixels of blocks that wait for others of their shape."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Blocks:
    """Maps of blocks of one shape, of one image or of several."""

    images: tuple[int, ...]
    """Which image of the set each block is of."""
    places: tuple[Placement, ...]
    sizes: tuple[tuple[int, int], ...]
    """(height, width) of each block's image, without what it was filled up with."""
    levels: list[Tensor]
    """(B, C_i, h_i, w_i) of the given windows, on the device, one per stride."""

    def __len__(self) -> int:
        return len(self.images)


class FrozenFeatures:
    """Feature maps of a backbone that no longer changes, computed once per image where it has a key.

    `lasting` says that other fits have these weights too, so that their maps are worth a place on the disk;
    it must be False where the fit has changed them. `margin_cells` is the margin of a block in cells of the
    coarsest level: how far what the method does with maps mixes neighbours.
    """

    def __init__(
        self,
        backbone: Backbone,
        cache: FeatureCache,
        device: torch.device,
        *,
        lasting: bool = True,
        margin_cells: int = 0,
    ) -> None:
        self.backbone = backbone
        self.cache = cache
        self.device = device
        self.lasting = lasting
        self.margin_cells = margin_cells
        self.fingerprint = backbone.fingerprint()
        self._bodies = AdaptedBodies(backbone)
        self._context: Context | None = None
        self._has_warned = False

    def check_size(self, height: int, width: int) -> None:
        """Raise `SettingsError` as `blocks` does, for an image of that size."""
        self._cutting((height, width))

    def measure(self, references: ImageSet) -> Statistics | None:
        """What the network normalises this surface with; None: what it was pretrained with.

        In one pass over at least one reference. Which they are matters, not in which order.
        """
        return self._bodies.measure(references, self.device)

    @torch.no_grad()
    def blocks(
        self,
        images: ImageSet,
        batch_size: int = 16,
        *,
        statistics: Statistics | Sequence[Statistics | None] | None = None,
    ) -> Iterator[Blocks]:
        """The maps of all images, block by block, whatever their sizes.

        Blocks of equal shape come together, at most `batch_size` and about a megapixel of them, also of
        different images; those of one image come in no particular order. An image of up to a megapixel is
        one block. Never are the maps of more than some blocks in memory. `statistics` are those of all
        images, or of each one. Blocks that an image's region of interest does not come near are left out.
        Raises `SettingsError` for a large image on a backbone that cannot be computed in parts.
        """
        waiting: dict[tuple[object, ...], _Batch] = {}
        each = statistics if isinstance(statistics, Sequence) else [statistics] * len(images)
        for index, (size, own) in enumerate(zip(images.sizes, each, strict=True)):
            image: Tensor | None = None
            is_kept = bool(images.keys) and self._is_kept(size)
            for place in keep_touched(self._cut(size), size, images.region(index), self.backbone.strides):
                key = self._key(images.keys[index], size, place, own) if is_kept else None
                maps = self._found(key) if key is not None else None
                pixels = None
                if maps is None:
                    image = images.images[index] if image is None else image  # decoded once, if ever
                    pixels = cut_pixels(image, place.seen)
                kind = (place.shape, own if self._bodies.can_fold else own is None)
                batch = waiting.setdefault(kind, _Batch())
                batch.add(
                    _Item(image=index, size=size, place=place, key=key, pixels=pixels, maps=maps, own=own)
                )
                if len(batch.items) >= batch_size or batch.num_px + batch.block_px > BLOCK_PX:
                    yield self._finish(waiting.pop(kind))
            while sum(batch.num_px for batch in waiting.values()) > _MAX_WAITING_PX:
                yield self._finish(waiting.pop(next(iter(waiting))))
        for batch in waiting.values():
            yield self._finish(batch)

    @torch.no_grad()
    def maps(
        self, images: ImageSet, batch_size: int = 16, *, statistics: Statistics | None = None
    ) -> list[Tensor]:
        """Maps (N, C_i, h_i, w_i) on the device, one per stride, of whole images of one size.

        What an image is filled up with at the right and below is part of them. For images of up to a
        megapixel; `blocks` takes any.
        """
        found: list[list[Tensor]] = [[] for _ in range(len(images))]
        for batch in self.blocks(images, batch_size, statistics=statistics):
            for row, index in enumerate(batch.images):
                if batch.places[row].core != batch.places[row].seen or found[index]:
                    raise SettingsError(
                        f"An image of {batch.sizes[row][1]} x {batch.sizes[row][0]} px is too large to be"
                        " looked at whole: use a smaller `scale`."
                    )
                found[index] = [level[row] for level in batch.levels]
        # Wherever a map comes from it lies in memory as the backbone gives it: what follows rounds alike.
        return [channels_last(torch.stack(level)) for level in zip(*found, strict=True)]

    @torch.no_grad()
    def prepare(
        self,
        images: ImageSet,
        batch_size: int = 16,
        *,
        statistics: Sequence[Statistics | None] = (),
    ) -> None:
        """Put the maps of images with keys into the cache, so that `blocks` and `maps` find them there.

        `statistics` are those of each image. Of more images than the cache can hold the first are lost
        again: that costs time, nothing else.
        """
        each = statistics or [None] * len(images)
        first = {(key, each[i]): i for i, key in reversed(list(enumerate(images.keys)))}
        sizes = images.sizes
        wanted = [i for i in sorted(first.values()) if self._is_kept(sizes[i])]
        for _ in self.blocks(images.take(wanted), batch_size, statistics=[each[i] for i in wanted]):
            pass

    def _cut(self, size: tuple[int, int]) -> tuple[Placement, ...]:
        return cut_image(*size, self._cutting(size))

    def _cutting(self, size: tuple[int, int]) -> Cutting:
        """How images of that size are cut; the network is measured only where that matters."""
        coarsest = max(self.backbone.strides)
        overlap, window = self.backbone.overlap_px, self.backbone.window_px
        if window is not None:
            margin = self.margin_cells * coarsest
            return Cutting(
                align_px=coarsest,
                reach_px=None,
                margin_px=margin,
                overlap_px=overlap,
                window_px=window,
                stretches=self.backbone.input_size_px is not None,
            )
        is_small = up(size[0], coarsest) * up(size[1], coarsest) <= BLOCK_PX
        if is_small and size[0] % _SAFE_ALIGN_PX == 0 and size[1] % _SAFE_ALIGN_PX == 0:
            return Cutting(align_px=coarsest, reach_px=None)
        context = self._measured()
        if not context.has_cells and not is_small:
            raise SettingsError(
                f"Backbone `{self.backbone.name}` cannot be computed in parts, as its maps do not"
                f" have one cell every {list(self.backbone.strides)} px, so an image of {size[1]} x {size[0]}"
                " px is too large for it: use a smaller `scale`, or another backbone."
            )
        if context.reach_px is None and not is_small and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"Backbone `{self.backbone.name}` looks across the whole image, so the maps of images above"
                f" {BLOCK_PX:,} px, which are computed in parts, are not quite those of the whole image.",
                DgadWarning,
                stacklevel=2,
            )
        return Cutting(
            align_px=context.align_px,
            reach_px=context.reach_px,
            margin_px=up(self.margin_cells * coarsest, context.align_px),
            overlap_px=overlap,
        )

    def _measured(self) -> Context:
        if self._context is None:
            self._context = measure_context(self.backbone.features, self.backbone.strides, device=self.device)
        return self._context

    def _is_kept(self, size: tuple[int, int]) -> bool:
        """Whether maps of an image so large are worth a place in the cache."""
        levels = zip(self.backbone.channels, self.backbone.strides, strict=True)
        num_bytes = 4 * size[0] * size[1] * sum(c / s**2 for c, s in levels)
        return num_bytes * _KEPT_SHARE <= self.cache.max_bytes or size[0] * size[1] <= BLOCK_PX

    def _key(self, key: str, size: tuple[int, int], place: Placement, own: Statistics | None) -> str:
        """What the maps of a block are kept under: those of a whole image under its own key."""
        if own is not None:
            key = f"{key}%{own.digest}"
        if place.core == place.seen:
            seen = place.seen.height, place.seen.width
            return key if seen == size else f"{key}+{seen[0]}x{seen[1]}"
        return f"{key}@{place.given}<{place.seen}"

    def _level_keys(self, key: str) -> list[FeatureKey]:
        """What the cache keeps each level under: two backbones may have levels of one stride."""
        strides = self.backbone.strides
        again = [strides[:i].count(stride) for i, stride in enumerate(strides)]
        return [
            (self.fingerprint, stride, f"{key}#{count}" if count else key)
            for stride, count in zip(strides, again, strict=True)
        ]

    def _found(self, key: str) -> list[Tensor] | None:
        kept = [self.cache.get(k, self.device, lasting=self.lasting) for k in self._level_keys(key)]
        return None if any(k is None for k in kept) else [k for k in kept if k is not None]

    def _finish(self, batch: "_Batch") -> Blocks:
        """Compute what was not found, and keep it."""
        items = batch.items
        missing = [item for item in items if item.maps is None]
        if missing:
            pixels = torch.stack([item.pixels for item in missing if item.pixels is not None])
            computed = self._compute(pixels, items[0].place, [item.own for item in missing])
            if len(missing) == len(items) and not any(item.key for item in items):
                return batch.blocks(computed)
            for row, item in enumerate(missing):
                item.maps = [level[row] for level in computed]
                if item.key is not None:
                    for key, level in zip(self._level_keys(item.key), item.maps, strict=True):
                        self.cache.put(key, level, lasting=self.lasting)
            if len(missing) == len(items):
                return batch.blocks(computed)
        rows = zip(*(item.maps for item in items if item.maps is not None), strict=True)
        return batch.blocks([channels_last(torch.stack(level)) for level in rows])

    def _compute(
        self, pixels_B3hw: Tensor, place: Placement, each: Sequence[Statistics | None]
    ) -> list[Tensor]:
        """Maps of the given windows."""
        levels: list[Tensor] = self.backbone(pixels_B3hw.to(self.device), self._bodies.choose(each))
        if place.given == place.seen:
            return levels
        return [
            channels_last(crop(level, stride, outer=place.seen, inner=place.given))
            for stride, level in zip(self.backbone.strides, levels, strict=True)
        ]


def crop(map_Bhw: Tensor, stride: int, *, outer: Window, inner: Window) -> Tensor:
    """Of cells (..., h, w) that cover `outer` those that cover `inner`."""
    top, left = (inner.top - outer.top) // stride, (inner.left - outer.left) // stride
    return map_Bhw[..., top : top + inner.height // stride, left : left + inner.width // stride]


def crop_to_core(blocks: Blocks, map_Bhw: Tensor) -> Tensor:
    """Of cells (B, ..., h, w) that cover the blocks' given windows those of their cores."""
    place = blocks.places[0]  # all are alike
    if place.core == place.given:
        return map_Bhw
    return crop(map_Bhw, place.given.height // map_Bhw.shape[-2], outer=place.given, inner=place.core)


@dataclasses.dataclass(kw_only=True, slots=True)
class _Item:
    """A block that waits; it has its pixels or its maps."""

    image: int
    size: tuple[int, int]
    place: Placement
    key: str | None
    pixels: Tensor | None
    maps: list[Tensor] | None
    own: Statistics | None
    """Of its image's surface."""


class _Batch:
    """Blocks of one shape that wait to be computed together."""

    def __init__(self) -> None:
        self.items: list[_Item] = []
        self.block_px = 0

    @property
    def num_px(self) -> int:
        return self.block_px * len(self.items)

    def add(self, item: _Item) -> None:
        self.block_px = item.place.seen.height * item.place.seen.width
        self.items.append(item)

    def blocks(self, levels: Sequence[Tensor]) -> Blocks:
        return Blocks(
            images=tuple(item.image for item in self.items),
            places=tuple(item.place for item in self.items),
            sizes=tuple(item.size for item in self.items),
            levels=list(levels),
        )
