"""Sessions with comparable texts: the rows of `landing.version_activity`; and unusable records with such."""

from collections.abc import Callable

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.identifiers import NO_VERSION, repository_id, version_of
from dora_pipeline.sources.apm.compaction import grouped
from dora_pipeline.sources.apm.sessions import IDENTITY, Cut, joined
from dora_pipeline.sources.apm.texts import commit_shas

# Gives each of a column's different texts its comparable form.
Renaming = Callable[[pl.Series], pl.Series]


def activity(sessions: pl.DataFrame, settings: Settings, cut: Cut) -> pl.DataFrame:
    """The sessions per service, env and version.

    They have the columns of `landing.version_activity` but `input`, and its order: by service, env, version and first
    sighting.
    """
    named = _comparable(sessions, settings).with_columns(
        _renamed(sessions["version"], _versions),
        _renamed(sessions["team"], _trimmed),
        _renamed(sessions["commit_sha"], commit_shas),
        _renamed(sessions["repository"], _each(repository_id)),
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
    return frame.with_columns(_renamed(frame["service"], _trimmed), _renamed(frame["env"], _each(settings.environment)))


def _renamed(values: pl.Series, renamed: Renaming) -> pl.Series:
    """A column with each of its different texts renamed; some may become none."""
    different = values.drop_nulls().unique()
    texts = different.cast(pl.String)
    names = renamed(texts)
    if names.equals(texts):
        return values
    return values.replace_strict(different, names, default=None, return_dtype=values.dtype)


def _each(name_of: Callable[[str], str | None]) -> Renaming:
    return lambda texts: pl.Series([name_of(text) for text in texts], dtype=pl.String)


def _trimmed(texts: pl.Series) -> pl.Series:
    return texts.str.strip_chars().replace("", None)


def _versions(texts: pl.Series) -> pl.Series:
    """The texts as `version_of` has them. There may be millions, and nearly all are what they are."""
    is_plain = texts.str.contains("^[!-~]+$") & ~texts.str.to_lowercase().is_in(list(NO_VERSION))
    others = texts.filter(~is_plain)
    return texts.replace(others, _each(version_of)(others))
