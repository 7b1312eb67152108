"""How far the data can be trusted, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from dora_pipeline.report.content import Excerpt, Rejected


@dataclass(frozen=True)
class Complaint:
    """What a check found against the warehouse, what to do about it, and the lines to write."""

    is_warning: bool
    line: str
    advice: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Quality:
    """What `dora check` says, the worst first, of so many checks; tables by their queries' names; what was rejected."""

    zone: ZoneInfo
    checks: int
    complaints: Sequence[Complaint]
    tables: Mapping[str, Excerpt[Mapping[str, Any]]]
    rejected: Excerpt[Rejected]
