"""Single values in bodies of requests: times, texts, ids, tags and commits, and what they must be."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from dora_pipeline.timeline import NEWEST_INSTANT, OLDEST_INSTANT, moment_of

_INT64 = 2**63
_EPOCH = "must be a whole number: Unix time in seconds, milliseconds, microseconds or nanoseconds"


def whole(value: object) -> object:
    """A whole number as such."""
    # Clients in JavaScript send nanoseconds as doubles, such as 1.69996064812345e18.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _epoch(value: object) -> object:
    number = whole(value)
    if type(number) is not int:
        raise PydanticCustomError("epoch", _EPOCH)
    return number


def _not_blank(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return value


def _moment(value: object) -> object:
    if isinstance(value, bool | int | float):
        raise PydanticCustomError("decoding", "invalid type number")
    if not isinstance(value, str):
        return value
    try:
        moment = moment_of(value)
        # "Since ever" is a time, too; no event is known by one outside of these years.
        return min(max(moment, OLDEST_INSTANT), NEWEST_INSTANT - timedelta(microseconds=1)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError("time", "must be a time of RFC 3339 such as 2025-03-23T00:00:00Z") from None


Epoch = Annotated[
    int,
    BeforeValidator(_epoch),
    Field(gt=-_INT64 - 1, lt=_INT64, description="Unix time in s, ms, µs or ns, by magnitude"),
]
Text = Annotated[str, Field(json_schema_extra={"maxLength": 10_000})]
Name = Annotated[Text, BeforeValidator(_not_blank), Field(json_schema_extra={"pattern": r"[^\s]"})]
EventId = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_.:-]{16,128}$", description="the event's own id: 16 to 128 of A-Z a-z 0-9 - _ . :"),
]
Tag = Annotated[Text, Field(pattern=r"^[^:]+:.", description="key:value")]
Tags = Annotated[list[Tag], Field(max_length=100)]
Sha = Annotated[Text, Field(pattern=r"^[a-fA-F0-9]{40,}$", description="the whole SHA of a commit")]
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
OnlyByPatch = Annotated[None, Field(description="set by PATCH")]
