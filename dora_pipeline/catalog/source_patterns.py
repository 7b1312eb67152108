"""Source patterns: which files of a repository belong to a service.

A pattern is a glob from the root of the repository: `**` crosses folders, and a folder means all below it. One that
begins with `!` leaves out what it matches, whatever the others say and wherever it stands; where all begin with `!`,
every other file counts. What does not belong here: how git is asked (`repositories/ranges.py`).
"""

import glob
import re
from collections.abc import Collection, Sequence

# What git's globs understand: an escaped letter of theirs, and a set of letters.
_UNDERSTOOD = re.compile(r"\\[*?\[\]\\!]|\[[!^]?.[^\]]*\]")


def pattern_mistake(pattern: str) -> str | None:
    """What is wrong with a pattern that can match nothing or not what it seems to; None where all is well."""
    excluded, path = split_pattern(pattern)
    parts = path.split("/")
    if not path or not pattern.isprintable() or ".." in parts or "." in parts or (excluded and path.startswith("!")):
        return (
            f"{pattern!r} is not a source pattern; write a glob from the root of the repository, such as src/app/**, "
            "with a ! before it to leave files out"
        )
    rest = _UNDERSTOOD.sub("", path)
    if "\\" in rest:
        return f"{pattern!r} is not a source pattern: folders are separated by /, and \\ stands only before *?[]\\!"
    if "[" in rest:
        return f"{pattern!r} is not a source pattern: its [ is not closed; write \\[ for the letter"
    return None


def checked_pattern(pattern: str) -> str:
    """The pattern. Raises ValueError for one with a mistake."""
    mistake = pattern_mistake(pattern)
    if mistake is not None:
        raise ValueError(mistake)
    return pattern


def split_pattern(pattern: str) -> tuple[bool, str]:
    """Whether the pattern leaves files out, and its glob from the root of the repository."""
    excluded = pattern.startswith("!")
    return excluded, pattern.removeprefix("!").strip().removeprefix("./").lstrip("/")


def branch_length(browsed: Sequence[str], refs: Collection[str]) -> int | None:
    """How many segments of a path that follows `/tree/` name a branch or tag of `refs`: the longest that fits."""
    return max((end for end in range(1, len(browsed) + 1) if "/".join(browsed[:end]) in refs), default=None)


def folder_patterns(browsed: Sequence[str], refs: Collection[str]) -> tuple[str, ...]:
    """The patterns of a linked folder; none for the root.

    `browsed` are the segments of the path that follows `/tree/` in the link: a branch or tag, and the folder. Where
    none of `refs` fits, the branch is taken to be one segment long.
    """
    folder = "/".join(browsed[branch_length(browsed, refs) or 1 :])
    return (f"{glob.escape(folder)}/**",) if folder else ()
