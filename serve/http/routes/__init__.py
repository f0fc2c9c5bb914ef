"""The routes of `/v1` and those beside it, by what they are about."""

from typing import Annotated

from fastapi import Path, Query, Response
from pydantic import BaseModel

from dgad.domains.wide_values import BIT_DEPTHS
from dgad.errors import ConflictError
from dgad.references.domain import DomainSettings

DomainName = Annotated[
    str,
    Path(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$",
        description="1 to 64 of a-z, 0-9, _ and -, the first a letter or digit.",
        examples=["carpet"],
    ),
]
ReferenceId = Annotated[
    str,
    Path(
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of the photograph's bytes.",
        examples=["3f786850e387550fdab836ed7e6dc881de23001b3f786850e387550fdab836ed"],
    ),
]

BitDepth = Annotated[
    int | None,
    Query(
        ge=BIT_DEPTHS[0],
        le=BIT_DEPTHS[1],
        description="Of values in photographs of more than 8 bits a channel, where the domain's settings"
        " state none: 12 for a camera that writes 12 bits into 16-bit files.",
    ),
]


def choose_bit_depth(domain: str, settings: DomainSettings, asked: int | None) -> int | None:
    """The domain's own or, where it states none, the request's; `ConflictError` where they differ."""
    stated = settings.bit_depth
    if stated is not None and asked not in (None, stated):
        raise ConflictError(
            f"Domain {domain!r} has a bit depth of {stated}, but the request says {asked}: leave it out, or"
            " change the domain's settings."
        )
    return stated if stated is not None else asked


def json_answer(answer: BaseModel, status: int = 200) -> Response:
    """The answer as it is: it was made by our own types, so FastAPI need not check it again."""
    return Response(answer.model_dump_json(), status, media_type="application/json")
