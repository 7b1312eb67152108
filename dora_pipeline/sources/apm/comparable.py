"""The texts of sightings in the forms by which they are compared; a text of no use has none."""

from collections.abc import Callable, Mapping

import polars as pl

from dora_pipeline.identifiers import COMMIT_SHA, NO_VERSION, repository_id, version_of

# Gives each of some texts its comparable form.
Renaming = Callable[[pl.Series], pl.Series]


def each(name_of: Callable[[str], str | None]) -> Renaming:
    """A function of one text, asked of each."""
    return lambda texts: pl.Series([name_of(text) for text in texts], dtype=pl.String)


def _trimmed(texts: pl.Series) -> pl.Series:
    return texts.str.strip_chars().replace("", None)


def _versions(texts: pl.Series) -> pl.Series:
    """The texts as `version_of` has them. There may be millions, and nearly all are what they are."""
    is_plain = texts.str.contains("^[!-~]+$") & ~texts.str.to_lowercase().is_in(list(NO_VERSION))
    others = texts.filter(~is_plain).unique()
    return texts.replace(others, each(version_of)(others))


def _commit_shas(texts: pl.Series) -> pl.Series:
    shas = texts.str.strip_chars().str.to_lowercase()
    return shas.set(~shas.str.contains(f"^{COMMIT_SHA}$"), None)


# By the names of the texts. That of an environment is a matter of settings.
COMPARABLE: Mapping[str, Renaming] = {
    "service": _trimmed,
    "version": _versions,
    "team": _trimmed,
    "commit_sha": _commit_shas,
    "repository": each(repository_id),
}
# What is found in usual texts, and in none without a comparable form.
USUAL: Mapping[str, str] = {
    "service": "[!-~]",
    "version": "^[!-~]*[0-9][!-~]*$",
    "team": "[!-~]",
    "commit_sha": f"^{COMMIT_SHA}$",
}
