"""Which deployments failed and what mended them, worked out slowly and plainly, one history after the other."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dora_pipeline_tests.oracle import FailedChange, JudgedDeployment, Mark
from dora_pipeline_tests.oracle_commits import LONGEST_GAP, Commit, Repository

History = Sequence[JudgedDeployment]
Rule = Mapping[str, str]


@dataclass(frozen=True)
class Marks:
    """The marks by the deployment that counts, and the deployments that a mark may name as remediations."""

    by_id: Mapping[str, Mark]
    named: Mapping[str, JudgedDeployment]

    @classmethod
    def of(cls, rows: Sequence[JudgedDeployment], rejected: Collection[str]) -> "Marks":
        """A mark of a duplicate is one of the deployment that counts, unless that has its own.

        `rejected` are ids of the source of the marks: such a name is not that of another source's event.
        """
        marked = sorted(
            (row for row in rows if row.told.mark), key=lambda row: (row.duplicate_of or "", row.told.deployment_id)
        )
        by_id: dict[str, Mark] = {}
        for row in marked:
            if row.told.mark:
                by_id.setdefault(row.counted_id, row.told.mark)
        counting = {row.told.deployment_id: row for row in rows}
        named = {row.told.deployment_id.removeprefix("apm:"): counting[row.counted_id] for row in rows}
        named |= {row.told.deployment_id: counting[row.counted_id] for row in rows}
        return cls(by_id, {name: row for name, row in named.items() if name not in rejected})

    def remediation(self, mark: Mark) -> tuple[str, str] | None:
        """The id of what mended by a mark, and in which way."""
        if not mark.is_failed or mark.remediation is None:
            return None
        name, kind = mark.remediation
        return (self.named[name].told.deployment_id if name in self.named else name), kind

    def remediations(self) -> set[str]:
        """Whatever mended by a mark."""
        found = (self.remediation(mark) for mark in self.by_id.values())
        return {one[0] for one in found if one}


def judge_changes(history: History, repository: Repository, rules: Sequence[Rule], marks: Marks) -> None:
    """Say of each deployment of one history what kind it is, and whether it failed."""
    rolled_back = dict(_rollbacks(history, repository))
    reverted = _reverts(history, repository)
    settled = {
        place
        for place, row in enumerate(history)
        if (mark := marks.by_id.get(row.told.deployment_id)) and (not mark.is_failed or mark.remediation)
    }
    mended_by_mark = marks.remediations()
    mends = {place for place, row in enumerate(history) if row.told.deployment_id in mended_by_mark}
    # What failed, with the way, the rule and what mended it. A remediation has one failed change, by the first way.
    found: dict[int, tuple[str, str | None, int | None]] = {}
    finds = set(rolled_back) | set(reverted)
    for way, pairs in (("rollback", rolled_back), ("revert", reverted)):
        for place in sorted(pairs):
            failed = pairs[place]
            if (way == "revert" and place in rolled_back) or failed in settled or failed in found:
                continue
            found[failed] = (way, None, place)
            mends.add(place)
    for place in range(1, len(history)):
        rule, failed = _first_rule(history, repository, rules, place, "previous"), place - 1
        if rule and place not in finds and not {failed} & (mends | settled | found.keys()):
            found[failed] = ("rule", rule, place)
            mends.add(place)
    for place, row in enumerate(history):
        rule = _first_rule(history, repository, rules, place, "itself")
        if rule and place not in settled:
            found.setdefault(place, ("rule", rule, None))
        row.failed = _failed_change(history, row, found.get(place), marks)


def _failed_change(
    history: History, row: JudgedDeployment, found: tuple[str, str | None, int | None] | None, marks: Marks
) -> FailedChange | None:
    way, rule, mended_by = found or (None, None, None)
    mender = None if mended_by is None else history[mended_by]
    kind = None if mender is None else "rollback" if way == "rollback" else "rollforward"
    remediation_id = mender.told.deployment_id if mender else None
    mark = marks.by_id.get(row.told.deployment_id)
    if mark is not None:
        if not mark.is_failed:
            return None
        way, rule = "mark", None
        if named := marks.remediation(mark):
            remediation_id, kind = named
            mender = marks.named.get(remediation_id)
    if way is None:
        return None
    is_later = mender is not None and mender.told.finished_at > row.told.finished_at
    recovery = (mender.told.finished_at - row.told.finished_at).total_seconds() if mender and is_later else None
    return FailedChange(way, rule, remediation_id, kind, recovery)


def _content(row: JudgedDeployment) -> str | None:
    told = row.told
    return told.version if told.commit_sha is None else f"commit {row.commit or told.commit_sha}"


def _rollbacks(history: History, repository: Repository) -> Iterator[tuple[int, int]]:
    """The places of rollbacks, and of what failed by them; says the kinds too."""
    left_behind: list[str | None] = []
    contents = [_content(row) for row in history]
    for place, row in enumerate(history):
        content, earlier = contents[place], contents[:place]
        row.kind = "standard"
        if content is None or not earlier or earlier[-1] is None:
            continue
        if earlier[-1] == content:
            row.kind = "redeploy"
            continue
        targets = [other for other in range(place) if contents[other] == content]
        if not targets or content in left_behind:
            if not row.is_behind:
                continue
            targets += [other for other in range(place) if _has(repository, row, history[other])]
        row.kind = "rollback"
        failed = max(targets) + 1 if targets else place - 1
        left_behind = contents[failed:place]
        yield place, failed


def _has(repository: Repository, row: JudgedDeployment, other: JudgedDeployment) -> bool:
    return bool(row.commit and other.commit in repository.histories[row.commit])


def _messages(row: JudgedDeployment, repository: Repository) -> set[Commit]:
    """The commits that a deployment brought first, and those that they landed as."""
    shas = {sha for one in row.brought or () if not one.is_redelivery for sha in (one.sha, one.landed_as) if sha}
    return {repository.commits[sha] for sha in shas}


def _without_number(subject: str) -> str:
    return re.sub(r"\s*\(#\d+\)$", "", subject)


def _reverts(history: History, repository: Repository) -> dict[int, int]:
    """The places of deployments that brought a revert, and of what failed by it."""
    said = [_messages(row, repository) for row in history]
    found: dict[int, int] = {}
    for place, row in enumerate(history):
        failed: list[int] = []
        for revert in said[place]:
            if not _is_revert(revert) or re.match(r'Revert "Revert "', revert.subject):
                continue
            brought = [
                (other, commit)
                for other in range(place + 1)
                for commit in said[other]
                if commit != revert and _takes_back(revert, commit)
            ]
            if any(other == place for other, _ in brought):
                continue
            failed += [other for other, commit in brought if not _is_revert(commit)]
        recent = [other for other in failed if _apart(history[other], row) <= LONGEST_GAP]
        if recent:
            found[place] = max(recent)
    return found


def _apart(one: JudgedDeployment, other: JudgedDeployment) -> timedelta:
    return other.told.finished_at - one.told.finished_at


def _is_revert(commit: Commit) -> bool:
    is_again = commit.subject.startswith('Reapply "')
    return not is_again and (bool(commit.reverts) or commit.subject.startswith('Revert "'))


def _takes_back(revert: Commit, commit: Commit) -> bool:
    if any(commit.sha.startswith(sha) for sha in revert.reverts):
        return True
    quoted = re.fullmatch(r'Revert "(.+)"', _without_number(revert.subject))
    return quoted is not None and _without_number(quoted[1]) == _without_number(commit.subject)


def _first_rule(history: History, repository: Repository, rules: Sequence[Rule], place: int, fails: str) -> str | None:
    for rule in rules:
        texts = _texts(history, repository, place, rule["field"])
        if rule["fails"] == fails and any(re.search(rule["matches"], text) for text in texts):
            return rule["name"]
    return None


def _texts(history: History, repository: Repository, place: int, field: str) -> list[str]:
    row = history[place]
    if field == "version":
        is_new = all(_content(other) != _content(row) for other in history[:place])
        return [row.told.version] if row.told.version and is_new else []
    if field == "commit_subject":
        return [commit.subject for commit in _messages(row, repository)]
    if field == "branch_tag":
        tags = [tag.partition(":") for tag in row.tags]
        return [value for key, _, value in tags if key in ("branch", "git.branch")]
    return list(row.tags)
