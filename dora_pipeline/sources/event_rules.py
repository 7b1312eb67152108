"""Rules that deployments and failures of the Event API share: times, reasons for rejecting, columns of tables.

Rejected records are rows with their first reason in a fixed order; nothing here looks at the clock.
"""

from collections.abc import Callable, Mapping, Sequence

import dataframely as dy
import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.identifiers import COMMIT_SHA, EventType, repository_id
from dora_pipeline.sources.event_attributes import Attributes, attribute_columns, payload, with_id
from dora_pipeline.sources.source import Normalized
from dora_pipeline.tables import LandedFailures, LandedRejects, Table
from dora_pipeline.timeline import EPOCH_UNITS, FUTURE_TOLERANCE, NEWEST_INSTANT, OLDEST_INSTANT


class Unusable(ValueError):
    """A record that cannot be used; `reason` is the word that `core.rejected_events` shows."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FailureRecord(dy.Schema):
    """One record of a source as a failure: what its `normalize` reads from it, before it is judged.

    Texts are trimmed, and blank ones NULL; times are UTC. `normalized_failures` makes a row of `landing.failures` of it
    for each of its services, or a reject where it has a `reason`.
    """

    record_id = dy.String(description="Id of the record at the source, behind the source's prefix in failure_id.")
    attributes = dy.String(description="The record as it came, as JSON: the payload of a reject.")
    received_at = dy.Datetime(time_zone="UTC", time_unit="us", description="When the source had it first.")
    changed_at = dy.Datetime(time_zone="UTC", time_unit="us", description="When it came last: no later time can be.")
    reason = dy.String(nullable=True, description="One word for why it cannot be used.")
    services = dy.List(dy.String(), nullable=True, description="Impacted services; none where only a team is known.")
    env = dy.String(nullable=True, description="Environment, under its canonical name.")
    team = dy.String(nullable=True, description="Team that the record names.")
    name = dy.String(nullable=True, description="Title.")
    severity = dy.String(nullable=True, description="Severity, in the words of the source.")
    version = dy.String(nullable=True, description="Version that failed.")
    repository_id = dy.String(nullable=True, description="Repository as host/path in lower case.")
    commit_sha = dy.String(nullable=True, description="Commit that failed.")
    url = dy.String(nullable=True, description="Page of the failure at its source.")
    started_at = dy.Datetime(time_zone="UTC", time_unit="us", nullable=True, description="Start of the failure.")
    finished_at = dy.Datetime(time_zone="UTC", time_unit="us", nullable=True, description="Restore; NULL: open.")
    time_to_restore_seconds = dy.Float64(nullable=True, description="Seconds until restored, where they are known.")
    custom_tags = dy.List(dy.String(), nullable=True, description="Tags, key:value.")


def judged_failures(
    rows: Sequence[Mapping[str, object]], settings: Settings, *, source: str, id_prefix: str
) -> Normalized:
    """Rows of FailureRecord, of which what is not there is NULL, as failures and rejects.

    Beside the reasons that they have: a start that is missing, an end before the start, a time in the future.
    """
    schema = {name: column.dtype for name, column in FailureRecord.columns().items()}
    frame = pl.DataFrame([{**dict.fromkeys(schema), **row} for row in rows], schema=schema, orient="row")
    frame = frame.with_columns(
        pl.col("services", "custom_tags").fill_null([]),
        reason=pl.coalesce("reason", reason("time_missing", pl.col("started_at").is_null()), *order_reasons()),
    )
    return normalized_failures(frame, settings, source=source, failure_id=id_prefix + pl.col("record_id"))


def read_records(
    records: pl.DataFrame,
    settings: Settings,
    fields_of: Callable[[Attributes], dict[str, object]],
    event_type: EventType | None = None,
) -> pl.DataFrame:
    """The records that are not deleted, with columns for their fields and a reason for each time that has none.

    `event_type` is that of records of the Event API, whose fields have its names and types.

    `refusal` is why a record was refused before, for those that were; `plain` is what was read of it before
    (`plain_events.plain_structs`).
    """
    kept = records.filter(~pl.col("is_deleted").fill_null(False))
    if "refusal" not in kept.columns:
        kept = kept.with_columns(refusal=pl.lit(None, dtype=pl.String))
    plain = kept["plain"] if "plain" in kept.columns else None
    kept = kept.drop("plain", strict=False)
    columns = attribute_columns(kept["attributes"], fields_of, event_type, plain)
    return (
        pl.concat([kept, columns], how="horizontal")
        .with_columns(started_at=moment_expression("started"), finished_at=moment_expression("finished"))
        .with_columns(started_trouble=_trouble("started"), finished_trouble=_trouble("finished"))
        .with_columns(
            env=_mapped(columns["env"], settings.environment),
            repository_id=_mapped(columns["repository_url"], repository_id),
            is_typed=pl.col("is_typed") & pl.col("commit_sha").str.contains(f"^{COMMIT_SHA}$").fill_null(True),
            commit_sha=pl.col("commit_sha").str.to_lowercase(),
        )
    )


def moment_expression(prefix: str) -> pl.Expr:
    """The instant of a time that was read as a number or a moment; NULL where there is none."""
    number = pl.col(f"{prefix}_number")
    microseconds = number // 1000
    for limit, factor in reversed(EPOCH_UNITS):
        microseconds = pl.when(number < limit).then(number * factor).otherwise(microseconds)
    moment = pl.when(number >= 0).then(microseconds).cast(pl.Datetime("us", "UTC"))
    in_range = pl.when(moment.is_between(OLDEST_INSTANT, NEWEST_INSTANT, closed="left")).then(moment)
    return pl.coalesce(f"{prefix}_moment", in_range)


def _trouble(prefix: str) -> pl.Expr:
    is_outside = pl.col(f"{prefix}_number").is_not_null() & pl.col(f"{prefix}_at").is_null()
    return pl.coalesce(f"{prefix}_trouble", reason("time_out_of_range", is_outside))


def _mapped(values: pl.Series, name_of: Callable[[str | None], str | None]) -> pl.Expr:
    distinct = values.drop_nulls().unique()
    names = pl.Series([name_of(value) for value in distinct], dtype=pl.String)
    return pl.col(values.name).replace_strict(distinct, names, default=None, return_dtype=pl.String)


def reason(word: str, applies: pl.Expr) -> pl.Expr:
    """The word where the rule applies, else NULL."""
    return pl.when(applies).then(pl.lit(word))


def shape_reasons() -> list[pl.Expr]:
    """Reasons that lie in the JSON itself."""
    return [reason("unreadable", ~pl.col("is_readable")), reason("field_type", ~pl.col("is_typed"))]


def start_reasons() -> list[pl.Expr]:
    """Reasons that lie in `started_at`."""
    is_missing = pl.col("started_at").is_null() & pl.col("started_trouble").is_null()
    return [reason("time_missing", is_missing), pl.col("started_trouble")]


def latest_moment() -> pl.Expr:
    """The latest instant that a record can tell of, by when it came."""
    return pl.col("changed_at") + FUTURE_TOLERANCE


def order_reasons() -> list[pl.Expr]:
    """Reasons that lie in two times together."""
    latest = latest_moment()
    return [
        reason("finished_before_started", pl.col("finished_at") < pl.col("started_at")),
        reason("time_in_future", (pl.col("started_at") > latest) | (pl.col("finished_at") > latest)),
    ]


def day(moment: pl.Expr, settings: Settings) -> pl.Expr:
    """The calendar day of an instant in the configured time zone."""
    return moment.dt.convert_time_zone(settings.timezone).dt.date()


def landed(frame: pl.DataFrame, table: type[Table]) -> pl.DataFrame:
    """The columns of a landing table in its order and types; without `input` where the frame has none."""
    columns = {name: kind for name, kind in table.columns().items() if name != "input" or name in frame.columns}
    return frame.select(pl.col(name).cast(column.dtype) for name, column in columns.items())


def with_their_ids(frame: pl.DataFrame) -> pl.DataFrame:
    """Sent events that have a `reason`, with their ids in their attributes, where people look for them."""
    refused = frame.filter(pl.col("reason").is_not_null())
    named = map(with_id, refused["attributes"], refused["record_id"])
    return refused.with_columns(attributes=pl.Series(named, dtype=pl.String))


def rejected(
    frame: pl.DataFrame, settings: Settings, *, event_type: str, source: str, occurred_at: pl.Expr
) -> pl.DataFrame:
    """Rows of `landing.rejected_events` for records that have a `reason`."""
    refused = frame.filter(pl.col("reason").is_not_null()).with_columns(
        source=pl.lit(source),
        record=pl.col("record_id"),
        event_type=pl.lit(event_type),
        service=pl.col("services").list.first(),
        occurred_at=occurred_at,
        records=pl.lit(1),
        detected_at=pl.col("received_at"),
    )
    return landed(
        refused.with_columns(
            payload=pl.Series([payload(text) for text in refused["attributes"]], dtype=pl.String),
            day=day(pl.coalesce("occurred_at", "detected_at"), settings),
        ),
        LandedRejects,
    )


def normalized_failures(
    judged: pl.DataFrame,
    settings: Settings,
    *,
    source: str,
    failure_id: pl.Expr,
    as_refused: pl.DataFrame | None = None,
) -> Normalized:
    """Judged failures as rows, one per impacted service (`services`), and rejects, which are those with a `reason`.

    `as_refused` is the same records as their rejects show them, where that differs. One that names no env, and not
    several in tags, gets that of the settings of its source.
    """
    is_tagged = pl.col("custom_tags").list.eval(pl.element().str.starts_with("env:")).list.any()
    names_none = pl.col("env").is_null() & ~is_tagged
    events = (
        judged.filter(pl.col("reason").is_null())
        .with_columns(
            source=pl.lit(source),
            failure_id=failure_id,
            restored_day=day(pl.col("finished_at"), settings),
            day=day(pl.col("started_at"), settings),
            service=pl.col("services"),
            env=pl.when(names_none).then(pl.lit(settings.env_of_failures(source), dtype=pl.String)).otherwise("env"),
        )
        .explode("service", empty_as_null=True)
    )
    refused = judged if as_refused is None else as_refused
    return Normalized(
        events=landed(events, LandedFailures),
        rejected=rejected(refused, settings, event_type="failure", source=source, occurred_at=pl.col("started_at")),
    )


def seconds_to_restore() -> pl.Expr:
    """`finished_at` minus `started_at` in seconds."""
    return (pl.col("finished_at") - pl.col("started_at")).dt.total_microseconds() / 1_000_000
