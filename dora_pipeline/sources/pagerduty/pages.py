"""Pages of PagerDuty's lists, by offset: each as long as the server likes, up to the 10,000 rows that a query shows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dora_pipeline.errors import SourceIncomplete
from dora_pipeline.sources.http import HttpClient, Refused
from dora_pipeline.sources.http.client import Parameters

MOST_ROWS = 10_000

_PAGE = 100
_OFFSET_TOO_LARGE = 2002


class TooManyRows(Exception):
    """The query finds more rows than PagerDuty shows of one."""


@dataclass(frozen=True)
class ListPage:
    """Rows of a list; `total` is the number of all rows, where it was asked for and came."""

    rows: list[dict[str, Any]]
    total: int | None


def pages(client: HttpClient, source: str, path: str, key: str, params: Parameters) -> Iterator[ListPage]:
    """The pages of the list at `path`, whose rows are under `key`; the first one with the total.

    Raises TooManyRows, and SourceIncomplete for an empty page that claims that more follow and for pages that repeat.
    """
    seen: set[str] = set()
    offset = 0
    while True:
        query = {**params, "limit": _PAGE, "offset": offset} | ({} if offset else {"total": "true"})
        answer = _answer(client, path, query, _trouble(key))
        rows = answer[key]
        total = answer.get("total")
        if isinstance(total, int) and total > MOST_ROWS:
            raise TooManyRows
        yield ListPage(rows, total if isinstance(total, int) else None)
        if not answer["more"]:
            return
        if not rows:
            raise SourceIncomplete(
                source, f"{path}: the page at {offset} is empty and says that more follow; run again"
            )
        ids = {row["id"] for row in rows}
        if ids <= seen:
            raise SourceIncomplete(source, f"{path}: the page at {offset} repeats earlier ones; run again later")
        seen |= ids
        offset += len(rows)


def _answer(client: HttpClient, path: str, query: Parameters, check: Callable[[Any], str | None]) -> Any:
    try:
        return client.get(path, query, check=check)
    except Refused as refusal:
        if refusal.status != 400 or refusal.code != _OFFSET_TOO_LARGE or not query["offset"]:
            raise
    raise TooManyRows


def _trouble(key: str) -> Callable[[Any], str | None]:
    def trouble(answer: Any) -> str | None:
        rows = answer.get(key) if isinstance(answer, dict) else None
        if not isinstance(rows, list) or not isinstance(answer.get("more"), bool):
            return f"no list of {key} with `more`"
        if not all(isinstance(row, dict) and isinstance(row.get("id"), str) and row["id"] for row in rows):
            return f"{key} without ids"
        return None

    return trouble
