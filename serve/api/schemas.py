"""The JSON of `/v1`: what the service sends and takes, and what the client reads.

The service builds answers exactly (an unknown field is a bug of its own); the client, through
`serve.api.answer_reader`, passes over fields that a newer service adds.
"""

import base64
import binascii
import dataclasses
import typing
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from dgad.calibration.threshold import CalibrationScheme
from dgad.domains.wide_values import BIT_DEPTHS
from dgad.references.domain import Action, DomainSettings
from serve.engine.backend import Guarantee, Scheme, Verdict

_REFERENCE_ID = "3f786850e387550fdab836ed7e6dc881de23001b3f786850e387550fdab836ed"


def _require_whole(value: object) -> object:
    """2.0 is a whole number to JSON, though not to a strict `int`."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Whole = Annotated[int, BeforeValidator(_require_whole)]


def _require_all(schema: JsonSchemaValue) -> None:
    """Describe every field as always sent: a default is for a client that reads an older service."""
    properties = schema.get("properties", {})
    for described in properties.values():
        described.pop("default", None)
        if "$ref" in described:  # a type of ours has its own title
            described.pop("title", None)
    schema["required"] = list(properties)


class Answer(BaseModel):
    """Base of what the service sends: immutable, and strict about unknown fields when it is built."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_require_all)


class _RequestBody(BaseModel):
    """Base of what the service takes; an unknown key is refused by its name."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SettingsBody(_RequestBody):
    """A domain's settings; what is not given has its default."""

    false_alarm_rate: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        allow_inf_nan=False,
        description="Wanted share of normal parts called abnormal; null: the lowest that this many references"
        " can promise, though not below 0.01.",
        examples=[0.05],
    )
    calibration: CalibrationScheme = Field(
        default="leave_one_out",
        description="`split` keeps half of the references back: then the promise is exact. `leave_one_out`"
        " compares with all of them, and its promise is approximate.",
    )
    coreset: _Whole | None = Field(
        default=None,
        ge=2,
        le=100_000,
        description="Compare with at most this many references; null: with all.",
    )
    note: str = Field(
        default="", max_length=500, description="Shown with the domain.", examples=["line 3, camera 2"]
    )
    bit_depth: _Whole | None = Field(
        default=None,
        ge=BIT_DEPTHS[0],
        le=BIT_DEPTHS[1],
        description="Of values in photographs of more than 8 bits a channel, such as 12 for a camera that"
        " writes 12 bits into 16-bit files; null: the full range of the file's type.",
    )
    scale: str | None = Field(
        default=None,
        max_length=32,
        description="At what scale this domain's photographs are looked at, where its camera differs: native,"
        " a factor such as 0.5, `fit N` or `squash N`; null: the bundle's.",
    )


class RegionBody(_RequestBody):
    """A region of interest: outside of it nothing is scored or enrolled."""

    polygons: list[list[list[float]]] | None = Field(
        default=None,
        max_length=64,
        description="Each a list of at least 3 corners [x, y], as fractions, 0 to 1, of the photograph's"
        " width and height.",
        examples=[[[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]]],
    )
    mask_png: str | None = Field(
        default=None,
        max_length=60_000,
        description="Instead of polygons: a PNG in base64, of the photographs' aspect ratio; what counts is"
        " not black.",
    )


class RollbackBody(_RequestBody):
    """Which version becomes current."""

    version: _Whole = Field(ge=1, le=2**31 - 1, examples=[1])


class SettingsAnswer(Answer):
    """A domain's settings."""

    false_alarm_rate: float | None = Field(default=None, examples=[0.05])
    calibration: CalibrationScheme = "leave_one_out"
    coreset: int | None = None
    note: str = ""
    bit_depth: int | None = None
    scale: str | None = None
    region: dict[str, Any] | None = None


class _SettingsOnWire:
    """Annotation: `DomainSettings` in Python, sent, read and described as `SettingsAnswer`."""

    @staticmethod
    def __get_pydantic_core_schema__(_: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        def settings_of(answer: SettingsAnswer) -> DomainSettings:
            return DomainSettings(**answer.model_dump())

        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(
                settings_of, handler.generate_schema(SettingsAnswer)
            ),
            python_schema=core_schema.is_instance_schema(DomainSettings),
            serialization=core_schema.plain_serializer_function_ser_schema(dataclasses.asdict),
        )


class ThresholdAnswer(Answer):
    """What decides the verdict, and how sure that is."""

    value: float | None = Field(
        description="Scores above it are abnormal; null: uncalibrated.", examples=[1.25]
    )
    false_alarm_rate: float | None = Field(
        description="Share of normal parts called abnormal at most, promised or approximated.",
        examples=[0.05],
    )
    lowest_rate: float | None = Field(
        description="The lowest share this many photographs can promise: 1 / (n + 1).", examples=[0.05]
    )
    guarantee: Guarantee = Field(examples=["approximate"])
    scheme: Scheme = Field(examples=["leave_one_out"])
    num_compared: int = Field(description="References that a part is compared with.", examples=[19])
    num_calibration: int = Field(description="Scores of normal parts behind the threshold.", examples=[19])
    sentence: str = Field(description="What holds, for how many photographs, and what more would give.")


class RecentAnswer(Answer):
    """How the last scores of the domain lie in its calibration."""

    num_scores: int
    is_drifting: bool
    reason: str = Field(description="One sentence; empty where nothing is amiss.")


class DomainAnswer(Answer):
    """One domain as it is now."""

    name: str = Field(examples=["carpet"])
    settings: Annotated[DomainSettings, _SettingsOnWire]
    version: int = Field(description="Of the references; 0 before anything is enrolled.", examples=[1])
    sequence: int = Field(description="Of the domain's last change.", examples=[2])
    num_references: int = Field(examples=[19])
    created_at: str = Field(examples=["2026-01-05T08:00:00+00:00"])
    updated_at: str = Field(examples=["2026-01-05T08:01:00+00:00"])
    threshold: ThresholdAnswer | None = Field(
        default=None,
        description="Null while nothing is enrolled, and in the list of domains.",
    )
    recent: RecentAnswer | None = Field(default=None, description="Null in the list of domains.")
    region: dict[str, Any] | None = Field(
        default=None,
        description="The region of interest; null: all of every photograph is looked at.",
        examples=[{"polygons": [[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]]}],
    )
    thumbnail: str | None = Field(
        default=None,
        description="Path of a small JPEG of the first reference.",
        examples=[f"/v1/domains/carpet/references/{_REFERENCE_ID}?thumbnail=96"],
    )
    bundle_id: str


class DomainsAnswer(Answer):
    """All domains, by name."""

    domains: tuple[DomainAnswer, ...]


class ReferenceAnswer(Answer):
    """One enrolled photograph."""

    id: str = Field(description="SHA-256 of the file's bytes.", examples=[_REFERENCE_ID])
    name: str = Field(description="As the file was called.", examples=["part-001.jpg"])
    num_bytes: int
    width_px: int
    height_px: int
    added_at: str
    near_duplicate_of: str | None = Field(
        default=None,
        description="Id of an earlier reference that it is nearly equal to; such make a threshold too tight.",
    )


class ReferencesAnswer(Answer):
    """The references of the current version, in the order of enrolment."""

    version: int
    references: tuple[ReferenceAnswer, ...]


class EnrolmentAnswer(Answer):
    """What an enrolment did; it is durable, and the next score uses it."""

    domain: str
    version: int = Field(description="Current now; unchanged where every photograph was there already.")
    added: tuple[ReferenceAnswer, ...]
    already_there: tuple[str, ...] = Field(description="Ids of photographs that were enrolled before.")
    repeated: bool = Field(
        description="The same Idempotency-Key was carried out before; nothing was done now."
    )
    threshold: ThresholdAnswer
    warnings: tuple[str, ...]
    milliseconds: float


class VersionAnswer(Answer):
    """One set of references that was current at some time."""

    number: int
    created_at: str
    by: str
    num_references: int
    num_purged: int = Field(description="References that were removed from every version since.")
    is_current: bool
    references: tuple[str, ...] = Field(description="Ids.")


class LogAnswer(Answer):
    """One entry of the domain's log."""

    sequence: int
    action: str = Field(json_schema_extra={"enum": list(typing.get_args(Action))})
    """Text to a client, so that it reads the log of a service that knows more actions."""
    at: str
    by: str = Field(description="Name of the API key; `local` where none is needed.")
    version: int
    about: dict[str, Any]


class VersionsAnswer(Answer):
    """All versions of a domain's references, and what was done to it."""

    current: int
    versions: tuple[VersionAnswer, ...]
    log: tuple[LogAnswer, ...]


class RegionAnswer(Answer):
    """A place that no left-out normal reaches, in pixels of the photograph."""

    x: int
    y: int
    width: int
    height: int
    score: float = Field(description="The highest pixel score inside.")


class HeatmapScale(Answer):
    """The scores that a domain's heatmaps show as cold and as hot."""

    low: float
    high: float


class ResultAnswer(Answer):
    """The answer for one photograph."""

    name: str = Field(examples=["part-001.jpg"])
    score: float = Field(description="Higher is more anomalous.", examples=[2.5])
    p_value: float | None = Field(
        description="(1 + calibration scores at least as high) / (n + 1); null without calibration.",
        examples=[0.05],
    )
    verdict: Verdict
    threshold: ThresholdAnswer
    levels: tuple[float, ...] = Field(description="Score per pyramid level, where the method has them.")
    regions: tuple[RegionAnswer, ...] = Field(description="The highest first, at most 20.")
    heatmap: str | None = Field(
        description="`data:image/png;base64,...`, where asked for and where the method localises."
    )
    heatmap_scale: HeatmapScale | None = Field(
        default=None,
        description="Of the heatmap; in `heatmap=map` grey v is the score low + v / 255 (high - low).",
    )
    version: int
    bundle_id: str
    milliseconds: float
    same_as_reference: str | None = Field(
        default=None,
        description="Name of the reference that is this very photograph: then the score says nothing.",
    )

    def heatmap_png(self) -> bytes | None:
        """Bytes of the heatmap; None where none was asked for or the method does not localise."""
        if self.heatmap is None:
            return None
        try:
            return base64.b64decode(self.heatmap.partition(",")[2], validate=True)
        except binascii.Error:
            return None


class ScoreAnswer(Answer):
    """The answers for all photographs of a request, in its order."""

    domain: str
    version: int = Field(description="Of the references that the photographs were compared with.")
    bundle_id: str
    num_references: int
    milliseconds: float
    results: tuple[ResultAnswer, ...]
    warnings: tuple[str, ...] = Field(
        default=(),
        description="What makes the scores worthless, such as values far below white; mostly none.",
    )


class BundleAnswer(Answer):
    """The bundle that a service scores with."""

    bundle_id: str
    method: str = Field(examples=["comparer"])
    title: str
    image_size_px: int | None = Field(
        default=None, description="Side that all photographs are squashed to; null: they keep their aspect."
    )
    scale: str | None = Field(
        default=None,
        description="At what scale photographs are looked at: native, a factor, `fit N` or `squash N`.",
        examples=["native"],
    )
    tile_px: int | None = Field(default=None, description="Side of a tile, in scaled pixels.")
    device: str = Field(examples=["cpu"])
    created_at: str | None = None
    training_domains: tuple[str, ...] = ()
    metrics: dict[str, Any] = Field(default_factory=dict)


class HealthAnswer(Answer):
    """The process answers."""

    status: typing.Literal["ok"]


class ReadyAnswer(Answer):
    """Whether scores are answered."""

    ready: bool
    bundle_id: str | None = None
    can_enroll: bool | None = None
    """Whether changes are made too; null from a service of an earlier version."""


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str = Field(examples=["not_found"])
    message: str = Field(examples=["There is no domain 'carpet'; PUT /v1/domains/carpet makes it."])
    request_id: str = Field(examples=["6f1c2a9be0d34c57"])


class ErrorAnswer(BaseModel):
    """Every error has this shape."""

    error: ErrorDetail
