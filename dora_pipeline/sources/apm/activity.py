"""Sessions with comparable texts: the rows of `landing.version_activity`; and unusable records with such."""

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.sources.apm.chunks import VARIED
from dora_pipeline.sources.apm.compaction import grouped
from dora_pipeline.sources.apm.comparable import COMPARABLE, Renaming, each
from dora_pipeline.sources.apm.sessions import IDENTITY, PICKED, Cut, joined


def activity(sessions: pl.DataFrame, settings: Settings, cut: Cut) -> pl.DataFrame:
    """The sessions per service, env and version.

    They have the columns of `landing.version_activity` but `input`, and its order: by service, env, version and first
    sighting.
    """
    named = _comparable(sessions, settings).with_columns(
        *(COMPARABLE[name](sessions[name]) for name in VARIED),
        *(_renamed(sessions[name], COMPARABLE[name]) for name in PICKED),
    )
    return joined([named], IDENTITY, cut).select(
        pl.col(IDENTITY).cast(pl.String),
        moment("first").alias("first_seen_at"),
        moment("last").alias("last_seen_at"),
        pl.col("commit_sha").cast(pl.String),
        pl.col("repository").cast(pl.String).alias("repository_id"),
        pl.col("team").cast(pl.String),
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
    return frame.with_columns(
        _renamed(frame["service"], COMPARABLE["service"]), _renamed(frame["env"], each(settings.environment))
    )


def _renamed(values: pl.Series, renamed: Renaming) -> pl.Series:
    """A column with each of its different texts renamed; some may become none."""
    different = values.drop_nulls().unique()
    texts = different.cast(pl.String)
    names = renamed(texts)
    if names.equals(texts):
        return values
    return values.replace_strict(different, names, default=None, return_dtype=values.dtype)
