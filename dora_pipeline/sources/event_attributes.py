"""The attributes of an event of the Event API: JSON of any shape, read into typed columns.

Nothing is judged here; columns say whether the JSON was readable, and whether every field had the type of the wire.
"""

import json
import re
from collections.abc import Callable, Iterable

import polars as pl

from dora_pipeline.identifiers import EventType, without_credentials
from dora_pipeline.json_values import json_value
from dora_pipeline.sources.plain_events import FEW, plain_columns
from dora_pipeline.timeline import InstantError, instant

LONGEST_PAYLOAD = 20_000

_INT64 = range(-(2**63), 2**63)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_MOMENT = pl.Datetime("us", "UTC")
_LISTS = ["services", "custom_tags"]

COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "is_readable": pl.Boolean,
    "is_typed": pl.Boolean,
    "services": pl.List(pl.String),
    "env": pl.String,
    "team": pl.String,
    "version": pl.String,
    "name": pl.String,
    "severity": pl.String,
    "repository_url": pl.String,
    "commit_sha": pl.String,
    "custom_tags": pl.List(pl.String),
    "change_failure": pl.Boolean,
    "remediation_id": pl.String,
    "remediation_type": pl.String,
    "started_number": pl.Int64,
    "started_moment": _MOMENT,
    "started_trouble": pl.String,
    "finished_number": pl.Int64,
    "finished_moment": _MOMENT,
    "finished_trouble": pl.String,
}


class Attributes:
    """Reads the fields of one event; a field of another type reads as missing and is noted in `wrong`."""

    def __init__(self, fields: dict[str, object], wrong: list[str] | None = None) -> None:
        self._fields = fields
        self.wrong: list[str] = [] if wrong is None else wrong

    def text(self, name: str) -> str | None:
        """Trimmed text; None where it is missing or blank."""
        value = self._fields.get(name)
        if isinstance(value, str):
            return value.strip() or None
        if value is not None:
            self.wrong.append(name)
        return None

    def texts(self, name: str) -> list[str]:
        """A text or a list of texts, trimmed, without blanks and repetitions, in their order."""
        value = self._fields.get(name)
        items: list[object] = value if isinstance(value, list) else [] if value is None else [value]
        names = [text.strip() for text in items if isinstance(text, str)]
        if len(names) < len(items):
            self.wrong.append(name)
        return [text for text in dict.fromkeys(names) if text]

    def only_text(self, name: str) -> str | None:
        """A text, or a list that holds one."""
        names = self.texts(name)
        if len(names) > 1:
            self.wrong.append(name)
        return names[0] if len(names) == 1 else None

    def tags(self, name: str) -> list[str]:
        """A list of texts as it is; empty where it is missing."""
        value = self._fields.get(name)
        tags = [tag for tag in value if isinstance(tag, str)] if isinstance(value, list) else []
        if value is not None and value != tags:
            self.wrong.append(name)
        return tags

    def flag(self, name: str) -> bool | None:
        """True or false; None where it is missing."""
        value = self._fields.get(name)
        if value is None or isinstance(value, bool):
            return value
        self.wrong.append(name)
        return None

    def section(self, name: str) -> "Attributes":
        """The fields of an object; none where it is missing."""
        value = self._fields.get(name)
        if value is not None and not isinstance(value, dict):
            self.wrong.append(name)
        return Attributes(value if isinstance(value, dict) else {}, self.wrong)

    def time(self, field: str, prefix: str) -> dict[str, object]:
        """Columns of a time: a whole number as it is, all else as the instant it means or the reason why not."""
        value = self._fields.get(field)
        if value is None or (isinstance(value, str) and not value.strip()):
            return {}
        if type(value) is int and value in _INT64:
            return {f"{prefix}_number": value}
        try:
            return {f"{prefix}_moment": instant(value)}
        except InstantError as error:
            return {f"{prefix}_trouble": error.reason}


def attribute_columns(
    texts: pl.Series,
    fields_of: Callable[[Attributes], dict[str, object]],
    event_type: EventType | None = None,
    plain: pl.Series | None = None,
) -> pl.DataFrame:
    """COLUMNS, one row per JSON text; `fields_of` reads what the type of event has.

    With `event_type` it is that of the Event API, and many of them are read as columns where they can be; `plain` are
    their `plain_structs`, where these were read before.
    """
    if event_type is None or len(texts) < FEW:
        return _one_by_one(texts, fields_of)
    columns_of = plain_columns(texts, event_type, plain).with_row_index()
    is_plain = columns_of["is_plain"]
    read = columns_of.filter("is_plain").with_columns(
        is_readable=pl.lit(True),
        is_typed=pl.lit(True),
        services=pl.concat_list("service"),
        custom_tags=pl.col("custom_tags").fill_null("[]").str.json_decode(pl.List(pl.String)),
    )
    others = _one_by_one(texts.filter(~is_plain), fields_of).with_columns(columns_of.filter(~is_plain)["index"])
    columns = [*COLUMNS, "index"]
    return pl.concat([read.select(columns), others.select(columns)]).sort("index").drop("index")


def _one_by_one(texts: Iterable[str | None], fields_of: Callable[[Attributes], dict[str, object]]) -> pl.DataFrame:
    rows = [_row(text, fields_of) for text in texts]
    # Lists go through text: Polars would make a series of each.
    flat = {name: pl.String if name in _LISTS else dtype for name, dtype in COLUMNS.items()}
    return pl.DataFrame(rows, schema=flat).with_columns(pl.col(_LISTS).str.json_decode(pl.List(pl.String)))


def _row(text: str | None, fields_of: Callable[[Attributes], dict[str, object]]) -> dict[str, object]:
    try:
        value = _parsed(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return {"is_readable": False, "is_typed": True}
    attributes = Attributes(value)
    columns = fields_of(attributes)
    lists = {name: json.dumps(columns[name]) for name in _LISTS}
    return {"is_readable": True, "is_typed": not attributes.wrong, **columns, **lists}


def _parsed(text: str | None) -> object:
    value: object = json_value(text or "")
    if text and _SURROGATE.search(text):
        # Clients that cut text in the middle of an emoji leave half of it, which is not Unicode.
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def with_id(text: str | None, record_id: str) -> str | None:
    """The JSON of a sent event with its id, which is kept beside it; what is no object stays as it is."""
    try:
        value = _parsed(text)
    except (ValueError, RecursionError):
        return text
    return json.dumps({"id": record_id, **value}, ensure_ascii=False) if isinstance(value, dict) else text


def payload(text: str | None) -> str:
    """The JSON without credentials, as a text of JSON in any case: what is no JSON becomes a string.

    Above 20,000 characters it is an object with the first of them as text.
    """
    try:
        whole = json.dumps(_parsed(text), ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        whole = json.dumps((text or "").replace("\\/", "/"), ensure_ascii=False)
    whole = without_credentials(whole)
    if len(whole) <= LONGEST_PAYLOAD:
        return whole
    return json.dumps({"beginning": whole[:LONGEST_PAYLOAD]}, ensure_ascii=False)
