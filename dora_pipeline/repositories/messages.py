"""What commit messages say: subjects, what they revert, and whose squash merge they are."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from dora_pipeline.identifiers import without_credentials
from dora_pipeline.repositories.git import lines, run_query
from dora_pipeline.repositories.mirror import Mirror

LONGEST_SUBJECT = 500
# Messages are held in memory by so many at a time.
_MESSAGES_A_PROCESS = 20_000
_REVERTS = re.compile(r"This reverts commit ([0-9a-f]{7,64})\b")
_PULL_REQUEST = re.compile(r"\(#([1-9]\d{0,17})\)$")
_MERGE_REQUEST = re.compile(r"\(!([1-9]\d{0,17})\)$")
_SEE_MERGE_REQUEST = re.compile(r"^See merge request \S*!([1-9]\d{0,17})\b", re.MULTILINE)
# What steers a terminal or the direction of writing.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+")


@dataclass(frozen=True, slots=True)
class CommitMessage:
    """What a commit's message says.

    `subject` is its first paragraph on one line, without credentials and control characters, at most 500 letters;
    `reverts` the SHAs, of 7 digits or more, after `This reverts commit`; `requests` the refs of the pull or merge
    request that it may be the squash merge of.
    """

    subject: str
    reverts: tuple[str, ...]
    requests: tuple[str, ...]


def messages(mirror: Mirror, shas: Iterable[str]) -> dict[str, CommitMessage]:
    """The message of each commit, by full SHA. Raises RepositoryError where one is not there."""
    found: dict[str, CommitMessage] = {}
    waiting = iter(sorted(set(shas)))
    while chunk := list(islice(waiting, _MESSAGES_A_PROCESS)):
        arguments = ["log", "--no-walk=unsorted", "--stdin", "--no-show-signature", "--format=%H%x00%s%x00%b%x00"]
        answer = run_query(mirror.path, arguments, lines(chunk))
        found.update(_messages(answer))
    return found


def _messages(answer: str) -> Iterator[tuple[str, CommitMessage]]:
    parts = answer.split("\0")
    for place in range(0, len(parts) - 1, 3):
        yield parts[place].strip(), _message(parts[place + 1], parts[place + 2])


def _message(subject: str, body: str) -> CommitMessage:
    subject = _CONTROLS.sub(" ", subject).strip()
    reverts = tuple(dict.fromkeys(_REVERTS.findall(f"{subject}\n{body}"))) if "reverts commit" in body + subject else ()
    requests = []
    if pull := _PULL_REQUEST.search(subject):
        requests.append(f"refs/pull/{pull[1]}/head")
    merge = _MERGE_REQUEST.search(subject) or ("merge request" in body and _SEE_MERGE_REQUEST.search(body))
    if merge:
        requests.append(f"refs/merge-requests/{merge[1]}/head")
    return CommitMessage(without_credentials(subject)[:LONGEST_SUBJECT], reverts, tuple(requests))
