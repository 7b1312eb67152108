"""The step of a run that judges changes: which deployments are redeploys or rollbacks, and which failed.

What went live is a rollback where it was live before, unless the most recent rollback left it behind, or where its
commit is in the history of the one right before it.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import duckdb
import polars as pl

from dora_pipeline.pipeline.landing import LONGEST_GAP
from dora_pipeline.pipeline.mirrors import Repositories
from dora_pipeline.pipeline.session import Session
from dora_pipeline.repositories.graph import CommitGraph
from dora_pipeline.sources.apm.settings import ID_PREFIX
from dora_pipeline.tables import CommitHistories, empty_frame
from dora_pipeline.timeline import microseconds
from dora_pipeline.warehouse import failed_changes


class Live(NamedTuple):
    """What a deployment brought live, and the one right before it: the commit, else the version; None where unknown.

    `is_behind` says whether its commit is in the history of the one before; `commit_sha` is the whole one, where the
    repository knows it. What `is_judged` already is not judged again: `failed_id` failed by it, where it is a rollback.
    """

    deployment_id: str
    content: str | None
    previous_content: str | None
    is_behind: bool
    repository_id: str | None
    commit_sha: str | None
    is_judged: bool = False
    failed_id: str | None = None


# Whether what the second deployment brought live is in the history of the first one's commit.
InHistory = Callable[[Live, Live], bool]


def judge_changes(session: Session, repositories: Repositories) -> None:
    """Judge the changes of the services of which something changed, and mark the days of core that differ."""
    with session.writer.transaction() as connection:

        def found_rollbacks(chains: pl.DataFrame) -> pl.DataFrame:
            histories = _Histories(connection, repositories, chains)
            found = [pair for chain in chains_of(chains) for pair in rollbacks(chain, histories.have)]
            histories.keep()
            return pl.DataFrame(found, schema=failed_changes.ROLLBACKS, orient="row")

        failed_changes.judge_waiting_changes(
            connection,
            session.writer.engine,
            session.settings.change_failure_rules,
            ID_PREFIX,
            microseconds(LONGEST_GAP),
            found_rollbacks,
        )


class _Histories:
    """The histories of commits in `chains`. What was asked of a repository once is kept, since it never changes."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, repositories: Repositories, chains: pl.DataFrame) -> None:
        self._connection = connection
        self._repositories = repositories
        self._chains = chains
        # With the commits that each repository has.
        self._graphs: dict[str, tuple[CommitGraph, set[str]]] = {}
        self._known: dict[str, dict[tuple[str, str], bool]] = {}
        self._asked: list[tuple[str, str, str, bool]] = []
        # The deployments of which a repository could not say it.
        self._unanswered: set[str] = set()

    def have(self, live: Live, earlier: Live) -> bool:
        """Whether the commit of one has that of an earlier one in its history; not where that is not known."""
        name, commit, other = live.repository_id, live.commit_sha, earlier.commit_sha
        if name is None or commit is None or other is None or name != earlier.repository_id:
            return False
        if name not in self._known:
            self._known[name] = failed_changes.known_histories(self._connection, name)
        known = self._known[name]
        if (commit, other) not in known:
            if name not in self._graphs:
                self._graphs[name] = self._read(name)
            graph, shas = self._graphs[name]
            if not {commit, other} <= shas:
                self._unanswered.add(live.deployment_id)
                return False
            known[commit, other] = graph.reaches(commit, other)
            self._asked.append((name, commit, other, known[commit, other]))
        return known[commit, other]

    def keep(self) -> None:
        """Keep what the repositories answered; what they could not is asked again by the next run."""
        rows = pl.DataFrame(self._asked, schema=empty_frame(CommitHistories).schema, orient="row")
        failed_changes.keep_histories(self._connection, rows)
        if self._unanswered:
            failed_changes.ask_again(self._connection, pl.DataFrame({"deployment_id": sorted(self._unanswered)}))

    def _read(self, repository_id: str) -> tuple[CommitGraph, set[str]]:
        shas = {*self._chains.filter(pl.col("repository_id") == repository_id)["commit_sha"].drop_nulls()}
        mirror = self._repositories.mirror(repository_id)
        present = self._repositories.present(mirror, shas) if mirror and mirror.exists else set()
        found = self._repositories.ranges(mirror, {}, present, present) if mirror and present else None
        return (CommitGraph(()), set()) if found is None else (found.reading.graph, present)


def chains_of(rows: pl.DataFrame) -> Iterator[Sequence[Live]]:
    """The chains that `warehouse.failed_changes.judge_waiting_changes` gives, each in the order of going live."""
    for _, group in groupby(rows.iter_rows(), key=lambda row: row[0]):
        yield [Live(*values) for _, *values in group]


def rollbacks(chain: Sequence[Live], is_in_history: InHistory) -> Iterator[tuple[str, str]]:
    """The rollbacks of a chain that are not judged yet, each with the first deployment after its target: what failed.

    Without a target that is the one right before. Of what was judged the chain has to hold whatever the others may go
    back to, and all that the most recent rollback left behind; of the others at least what went live more than once,
    and what followed on that, and where one is behind the one before it, all.
    """
    newest: dict[str, int] = {}
    left_behind: set[str | None] = set()
    for place, live in enumerate(chain):
        content = live.content
        if content is None:
            continue
        before = live.previous_content
        first = _place(live.failed_id, chain, place) if live.failed_id else None
        if not live.is_judged and before is not None and before != content:
            returns = content in newest and content not in left_behind
            if returns or live.is_behind:
                target = newest.get(content, -1)
                if not returns:
                    target = _newest_in_history(chain, place, target, is_in_history)
                first = target + 1 if target >= 0 else place - 1
                yield live.deployment_id, chain[first].deployment_id
        if first is not None:
            left_behind = {left.content for left in chain[first:place]}
        newest[content] = place


def _place(deployment_id: str, chain: Sequence[Live], before: int) -> int | None:
    return next((other for other in range(before - 1, -1, -1) if chain[other].deployment_id == deployment_id), None)


def _newest_in_history(chain: Sequence[Live], place: int, least: int, is_in_history: InHistory) -> int:
    """The place of the newest deployment before with a commit in the history of one, `least` where none is newer."""
    return next((other for other in range(place - 1, least, -1) if is_in_history(chain[place], chain[other])), least)
