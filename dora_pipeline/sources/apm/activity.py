"""Sessions with comparable texts: the rows of `landing.version_activity`, and the records that cannot be one."""

from collections.abc import Callable

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.identifiers import repository_id
from dora_pipeline.sources.apm.compaction import UNUSABLE_SCHEMA, grouped
from dora_pipeline.sources.apm.sessions import IDENTITY, Cut, joined

_SHA = r"^[0-9a-fA-F]{7,}$"


def activity(sessions: pl.DataFrame, settings: Settings, cut: Cut) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The sessions per service, env and version, and the unusable records (`compaction.UNUSABLE_SCHEMA`).

    The sessions have the columns of `landing.version_activity` but `input`, and its order: by service, env, version
    and first sighting.
    """
    named = _comparable(sessions, settings)
    reason = (
        pl.when(pl.col("service").is_null())
        .then(pl.lit("service_missing"))
        .when(pl.col("version").is_null())
        .then(pl.lit("version_missing"))
    )
    unusable = named.filter(reason.is_not_null()).select(
        reason.alias("reason"),
        pl.exclude("reason"),
        time=pl.from_epoch("first", "us").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
        hits=pl.lit(None, pl.String),
        problem=pl.lit(None, pl.String),
    )
    found = joined([named.filter(reason.is_null())], IDENTITY, cut).select(
        "service",
        "env",
        "version",
        moment("first").alias("first_seen_at"),
        moment("last").alias("last_seen_at"),
        "commit_sha",
        pl.col("repository").alias("repository_id"),
        "team",
        "sightings",
        pl.col("day").cast(pl.Int32).cast(pl.Date),
    )
    return found, unusable.select(*UNUSABLE_SCHEMA)


def comparable_unusable(unusable: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Unusable records grouped by their trimmed service and canonical environment."""
    return grouped(_comparable(unusable, settings))


def moment(name: str) -> pl.Expr:
    """Microseconds since 1970 as an instant."""
    return pl.from_epoch(name, "us").dt.replace_time_zone("UTC")


def _comparable(frame: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    sha = pl.col("commit_sha").str.strip_chars().str.to_lowercase()
    return frame.with_columns(
        *(_trimmed(name) for name in ("service", "version", "team")),
        _mapped(frame["env"], settings.environment),
        _mapped(frame["repository"], repository_id),
        pl.when(sha.str.contains(_SHA)).then(sha).alias("commit_sha"),
    )


def _trimmed(name: str) -> pl.Expr:
    text = pl.col(name).str.strip_chars()
    return pl.when(text != "").then(text).alias(name)


def _mapped(values: pl.Series, name_of: Callable[[str | None], str | None]) -> pl.Expr:
    """A column with a function applied to each of its different values."""
    names = values.drop_nulls().unique()
    found = pl.Series([name_of(name) for name in names], dtype=pl.String)
    return pl.col(values.name).replace_strict(names, found, default=None, return_dtype=pl.String)
