"""The step of a run that judges changes: which deployments are redeploys or rollbacks, and which failed.

What went live is a rollback where it was live before, unless the most recent rollback left it behind, or where its
commit is in the history of the one right before it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import polars as pl

from dora_pipeline.pipeline.landing import LONGEST_GAP, microseconds
from dora_pipeline.pipeline.session import Session
from dora_pipeline.sources.apm.settings import ID_PREFIX
from dora_pipeline.warehouse import failed_changes


@dataclass(frozen=True, slots=True)
class Live:
    """What a deployment brought live: the commit, else the version; None where neither is known.

    `is_behind` says whether its commit is in the history of the one before; `commit_sha` is the whole one, where the
    repository knows it.
    """

    deployment_id: str
    content: str | None
    is_behind: bool
    repository_id: str | None
    commit_sha: str | None


# Whether what the second deployment brought live is in the history of the first one's commit.
InHistory = Callable[[Live, Live], bool]


def judge_changes(session: Session) -> None:
    """Judge the changes of the services of which something changed, and mark the days of core that differ."""
    rules = session.settings.change_failure_rules
    with session.writer.transaction() as connection:
        chains = failed_changes.begin_changes(connection, rules, ID_PREFIX)
        if chains is None:
            return
        found = [pair for chain in _chains(chains) for pair in rollbacks(chain, lambda live, earlier: False)]
        failed_changes.replace_changes(
            connection,
            rules,
            pl.DataFrame(found, schema=failed_changes.ROLLBACKS, orient="row"),
            microseconds(LONGEST_GAP),
        )


def _chains(rows: pl.DataFrame) -> Iterator[Sequence[Live]]:
    for _, group in groupby(rows.iter_rows(), key=lambda row: row[0]):
        yield [Live(*values) for _, _, *values in group]


def rollbacks(chain: Sequence[Live], is_in_history: InHistory) -> Iterator[tuple[str, str]]:
    """The rollbacks of a chain, each with the first deployment after its target: the one that failed.

    Without a target that is the one right before.
    """
    newest: dict[str, int] = {}
    left_behind: set[str | None] = set()
    for place, live in enumerate(chain):
        content = live.content
        if content is None:
            continue
        before = chain[place - 1].content if place else None
        if before is not None and before != content:
            returns = content in newest and content not in left_behind
            if returns or live.is_behind:
                target = newest.get(content, -1)
                if not returns:
                    target = _newest_in_history(chain, place, target, is_in_history)
                first = target + 1 if target >= 0 else place - 1
                yield live.deployment_id, chain[first].deployment_id
                left_behind = {left.content for left in chain[first:place]}
        newest[content] = place


def _newest_in_history(chain: Sequence[Live], place: int, least: int, is_in_history: InHistory) -> int:
    """The place of the newest deployment before with a commit in the history of one, `least` where none is newer."""
    return next((other for other in range(place - 1, least, -1) if is_in_history(chain[place], chain[other])), least)
