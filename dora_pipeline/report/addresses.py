"""Addresses: of other pages of the dashboard, and of commits and pull requests where their host is known."""

import re
from urllib.parse import quote, urlencode

from dora_pipeline.identifiers import COMMIT_SHA
from dora_pipeline.report.question import Question

_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_REQUEST = re.compile(r"\(([#!])(\d{1,10})\)$")


def explanation(question: Question, figure: str, reason: str | None = None, page: int = 1) -> str:
    """The page of the events behind a figure."""
    own = {"figure": figure, "reason": reason, "page": page if page > 1 else None}
    return _address("/explain", question, own)


def data(
    question: Question, form: str, figure: str | None = None, reason: str | None = None, table: str | None = None
) -> str:
    """What a page shows, or one table of it, in another form: `csv`, `json` or `sql`."""
    return _address(_path(form), question, {"figure": figure, "reason": reason, "table": table})


def event(event_type: str, event_id: str) -> str:
    """The page of a deployment or a failure, whatever its id holds."""
    # Of a path browsers take `.` and `..` away, and proxies decode what is encoded; of a query neither does.
    if event_id in (".", "..") or quote(event_id, safe="") != event_id:
        return f"/{event_type}s?{urlencode({'id': event_id})}"
    return f"/{event_type}s/{event_id}"


def event_data(event_type: str, event_id: str, form: str, table: str | None = None) -> str:
    """The same in another form; of several tables, CSV has one."""
    return f"{_path(form)}?{urlencode({event_type: event_id, **({'table': table} if table else {})})}"


def repository(repository_id: str | None) -> str | None:
    """The page of a repository; None where the host is none whose pages are known."""
    found = _found(repository_id)
    return None if found is None else found[1]


def commit(repository_id: str | None, commit_sha: str | None) -> str | None:
    """The page of a commit; None where the host is none whose pages are known."""
    found = _found(repository_id)
    if found is None or commit_sha is None or not re.fullmatch(COMMIT_SHA, commit_sha):
        return None
    kind, address = found
    return f"{address}/{_COMMITS[kind]}/{commit_sha}"


def request(repository_id: str | None, subject: str | None) -> str | None:
    """The page of the pull or merge request that a subject names at its end, as in `A change (#12)`."""
    found, named = _found(repository_id), _REQUEST.search((subject or "").rstrip())
    if found is None or named is None:
        return None
    kind, address = found
    # Elsewhere `!` stands for nothing, and on GitLab `#` for an issue.
    return f"{address}/{_REQUESTS[kind]}/{named[2]}" if (named[1] == "!") == (kind == "gitlab") else None


_COMMITS = {"github": "commit", "gitlab": "-/commit", "bitbucket": "commits", "azure": "commit"}
_REQUESTS = {"github": "pull", "gitlab": "-/merge_requests", "bitbucket": "pull-requests", "azure": "pullrequest"}


def _found(repository_id: str | None) -> tuple[str, str] | None:
    """The kind of host of a repository, and its page."""
    host, _, path = (repository_id or "").partition("/")
    if not path or not _HOST.fullmatch(host):
        return None
    kind = _kind(host)
    return None if kind is None else (kind, f"https://{host}/{quote(path)}")


def _kind(host: str) -> str | None:
    if host == "bitbucket.org":
        return "bitbucket"
    if host == "dev.azure.com":
        return "azure"
    # Companies call the hosts of their own so.
    return next((kind for kind in ("github", "gitlab") if kind in host.split(".")), None)


def _path(form: str) -> str:
    return "/sql" if form == "sql" else f"/data.{form}"


def _address(path: str, question: Question, own: dict[str, str | int | None]) -> str:
    texts = [question.but().query, urlencode({name: value for name, value in own.items() if value is not None})]
    return f"{path}?{'&'.join(filter(None, texts))}"
