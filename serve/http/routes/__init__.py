"""The routes of `/v1` and those beside it, by what they are about."""

from typing import Annotated

from fastapi import Path, Response
from pydantic import BaseModel

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


def json_answer(answer: BaseModel, status: int = 200) -> Response:
    """The answer as it is: it was made by our own types, so FastAPI need not check it again."""
    return Response(answer.model_dump_json(), status, media_type="application/json")
