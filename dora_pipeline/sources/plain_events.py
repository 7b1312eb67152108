"""Everyday events of the Event API, read as columns and not one by one.

An event is plain where its JSON is spelled as the intake's store does it, and has no fields but those of its type, all
of the right types, with trimmed texts of printable ASCII and times that need no thought. What is said of a plain event
is what `event_attributes` says of it; all others are left to that.
"""

import re
from collections.abc import Iterable

import polars as pl

from dora_pipeline.identifiers import NO_VERSION, EventType
from dora_pipeline.timeline import NEWEST_INSTANT, OLDEST_INSTANT

# So many events are read one by one in less time than it takes to prepare for more.
FEW = 100

# Without quotes, backslashes and what is not ASCII.
_TEXT = r"[ !#-\[\]-~]*"
_CLOCK = r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?"


def _text(name: str, group: str) -> str:
    return rf'"{name}":"(?P<{group}>{_TEXT})"'


def _time(prefix: str) -> str:
    return rf'"{prefix}_at":(?:(?P<{prefix}_number>\d{{1,18}})|"(?P<{prefix}_clock>{_CLOCK})(?:Z|\+00:00)")'


def _fields(*fields: str) -> str:
    """Some of the fields, in their order, and the end of their object: where the JSON is whole, commas are right."""
    return "".join(rf"(?:{field}[,}}])?" for field in fields)


# In the order of their names; `services` of a failure that impacts several are left to others.
_TAGS = rf'"custom_tags":(?P<custom_tags>\[(?:"{_TEXT}"(?:,"{_TEXT}")*)?\])'
_GIT = r'"git":\{' + _fields(
    _text("commit_sha", "commit_sha"),
    _text("repository_id", "repository_id"),
    _text("repository_url", "repository_url"),
)
_REMEDIATION = r'"remediation":\{' + _fields(_text("id", "remediation_id"), _text("type", "remediation_type"))
_FORMS: dict[EventType, tuple[str, ...]] = {
    "deployment": (
        '"change_failure":(?P<change_failure>true|false)',
        _TAGS,
        _text("env", "env"),
        _time("finished"),
        _GIT,
        _REMEDIATION,
        _text("service", "service"),
        _time("started"),
        _text("team", "team"),
        _text("version", "version"),
    ),
    "failure": (
        _TAGS,
        _text("env", "env"),
        _time("finished"),
        _GIT,
        _text("name", "name"),
        rf'"services":\["(?P<service>{_TEXT})"\]',
        _text("severity", "severity"),
        _time("started"),
        _text("team", "team"),
        _text("version", "version"),
    ),
}
_PATTERNS = {event_type: r"^\{" + _fields(*form) + "$" for event_type, form in _FORMS.items()}
# The groups that hold texts; a tag is kept as it is.
_TEXTS = (
    "service",
    "env",
    "team",
    "version",
    "name",
    "severity",
    "commit_sha",
    "repository_id",
    "repository_url",
    "remediation_id",
    "remediation_type",
)


def plain_structs(texts: pl.Series, event_type: EventType) -> pl.Series:
    """`plain`: for each text of JSON the columns of `plain_columns`; NULL where they are too few for it to pay."""
    found = plain_columns(texts if len(texts) >= FEW else texts.clear(), event_type).to_struct("plain")
    return found if len(found) == len(texts) else found.extend_constant(None, len(texts))


def plain_columns(texts: pl.Series, event_type: EventType, known: pl.Series | None = None) -> pl.DataFrame:
    """A row for each text of JSON: `is_plain`, and where it is the values of its fields.

    The columns are `service`, those of `event_attributes.COLUMNS` that are no list, and `custom_tags`, as JSON. What is
    `known` of texts by `plain_structs` is not read again.
    """
    if known is not None:
        others = known.is_null()
        read = known.to_frame().with_row_index().filter(~others)
        if len(read) == len(texts):
            return known.struct.unnest()
        places = others.arg_true().cast(pl.UInt32).alias("index")
        fresh = plain_columns(texts.filter(others), event_type).to_struct(known.name).to_frame().with_columns(places)
        return pl.concat([read, fresh.select(read.columns)]).sort("index").drop("index").to_series().struct.unnest()
    found = texts.alias("text").to_frame()
    found = found.select("text", pl.col("text").str.extract_groups(_PATTERNS[event_type]).alias("found")).unnest(
        "found"
    )
    missing = {name for form in _FORMS.values() for name in _groups(form)} - {*found.columns}
    found = found.with_columns(**dict.fromkeys(sorted(missing), pl.lit(None, dtype=pl.String)))
    moments = {f"{prefix}_moment": _moment(f"{prefix}_clock") for prefix in ("started", "finished")}
    found = found.with_columns(
        **moments,
        started_number=pl.col("started_number").cast(pl.Int64),
        finished_number=pl.col("finished_number").cast(pl.Int64),
        change_failure=pl.col("change_failure") == "true",
    )
    is_trimmed = [(pl.col(name) == pl.col(name).str.strip_chars(" ")) & (pl.col(name) != "") for name in _TEXTS]
    is_understood = [
        pl.col(f"{prefix}_clock").is_null()
        | pl.col(f"{prefix}_moment").is_between(OLDEST_INSTANT, NEWEST_INSTANT, closed="left").fill_null(False)
        for prefix in ("started", "finished")
    ]
    return found.with_columns(
        is_plain=pl.all_horizontal(
            pl.col("service").is_not_null(),
            pl.col("text").str.ends_with("}"),
            *(condition.fill_null(True) for condition in is_trimmed),
            *is_understood,
        ),
        version=pl.when(~pl.col("version").str.to_lowercase().is_in(list(NO_VERSION))).then("version"),
        repository_url=pl.coalesce("repository_url", "repository_id"),
        started_trouble=pl.lit(None, dtype=pl.String),
        finished_trouble=pl.lit(None, dtype=pl.String),
    ).drop("text", "started_clock", "finished_clock", "repository_id")


def _groups(form: Iterable[str]) -> list[str]:
    return re.findall(r"\?P<(\w+)>", "".join(form))


def _moment(clock: str) -> pl.Expr:
    # A day that is not there, such as the 30th of February, gives NULL.
    moment = pl.col(clock).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    return moment.dt.replace_time_zone("UTC")
