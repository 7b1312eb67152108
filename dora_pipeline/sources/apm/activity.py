"""Sessions with comparable texts: the rows of `landing.version_activity`; and unusable records with such."""

from collections.abc import Callable

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.identifiers import COMMIT_SHA, NO_VERSION, repository_id, version_of
from dora_pipeline.sources.apm.compaction import grouped
from dora_pipeline.sources.apm.sessions import IDENTITY, Cut, joined


def activity(sessions: pl.DataFrame, settings: Settings, cut: Cut) -> pl.DataFrame:
    """The sessions per service, env and version.

    They have the columns of `landing.version_activity` but `input`, and its order: by service, env, version and first
    sighting.
    """
    named = _comparable(sessions, settings).with_columns(
        _trimmed("team"),
        _version(sessions["version"]),
        _mapped(sessions["repository"], repository_id),
        commit_sha=_usable_sha(),
    )
    return joined([named], IDENTITY, cut).select(
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


def comparable_unusable(unusable: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Unusable records with their trimmed service and canonical environment."""
    return grouped(_comparable(unusable, settings)) if unusable.height else unusable


def moment(name: str) -> pl.Expr:
    """Microseconds since 1970 as an instant."""
    return pl.from_epoch(name, "us").dt.replace_time_zone("UTC")


def _comparable(frame: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    return frame.with_columns(_trimmed("service"), _mapped(frame["env"], settings.environment))


def _usable_sha() -> pl.Expr:
    sha = pl.col("commit_sha").str.strip_chars().str.to_lowercase()
    return pl.when(sha.str.contains(f"^{COMMIT_SHA}$")).then(sha)


def _trimmed(name: str) -> pl.Expr:
    text = pl.col(name).str.strip_chars()
    return pl.when(text != "").then(text).alias(name)


def _version(values: pl.Series) -> pl.Expr:
    """The versions as `version_of` has them. There may be millions, and nearly all are what they are."""
    is_plain = values.str.contains("^[!-~]+$") & ~values.str.to_lowercase().is_in(list(NO_VERSION))
    others = _mapped(values.filter(~is_plain), version_of)
    return pl.when(is_plain).then("version").otherwise(others).alias("version")


def _mapped(values: pl.Series, name_of: Callable[[str | None], str | None]) -> pl.Expr:
    """A column with a function applied to each of its different values."""
    names = values.drop_nulls().unique()
    found = pl.Series([name_of(name) for name in names], dtype=pl.String)
    return pl.col(values.name).replace_strict(names, found, default=None, return_dtype=pl.String)
