import gzip
from pathlib import Path

import polars as pl
import pytest

from dora_pipeline.config import project_folder
from dora_pipeline.errors import RepositoryError
from dora_pipeline.repositories.history import rebuild_history
from dora_pipeline.repositories.mirror import Mirror
from dora_pipeline_tests.git_histories import git
from dora_pipeline_tests.repository import tracked_files

SAMPLE = project_folder() / "data" / "sample"
HEADER = "sha,parents,author_time,commit_time\n"
TIMES = "2024-01-01T00:00:00Z,2024-01-01T00:00:01+00:00\n"


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "commits.csv"
    path.write_text(text)
    return path


def test_the_graph_and_the_times_are_those_of_the_table(tmp_path: Path) -> None:
    commits = table(
        tmp_path,
        HEADER
        + "d,b c,2024-03-01T00:00:04Z,2024-03-01T00:00:05Z\n"
        + "c,a,2024-03-01T00:00:03Z,2024-03-01T02:00:03+02:00\n"
        + "b,a,2024-03-01T00:00:01Z,2024-03-01T00:00:02Z\n"
        + "a,unknown,2024-03-01T00:00:00Z,2024-03-01T00:00:00Z\n",
    )
    rebuild_history(commits, tmp_path / "new" / "r.git")
    log = git(tmp_path / "new" / "r.git", "log", "--topo-order", "--format=%p|%at|%ct|%an", "main").splitlines()
    merge, *_, root = [line.split("|") for line in log]
    assert len(log) == 4
    assert len(merge[0].split()) == 2
    assert merge[1:] == ["1709251204", "1709251205", "A"]
    assert root == ["", "1709251200", "1709251200", "A"]


def test_every_commit_that_is_no_merge_changes_one_file(tmp_path: Path) -> None:
    commits = table(tmp_path, f"{HEADER}c,a b,{TIMES}b,a,{TIMES}a,,{TIMES}")
    rebuild_history(commits, tmp_path / "r.git")
    changed = git(tmp_path / "r.git", "log", "--name-only", "--format=", "--no-merges", "main").split()
    assert sorted(changed) == ["src/part1.txt", "src/part2.txt"]


def test_heads_beside_main_keep_their_branch(tmp_path: Path) -> None:
    commits = table(tmp_path, f"{HEADER}old,a,{TIMES}new,a,2025-01-01T00:00:00Z,2025-01-01T00:00:00Z\na,,{TIMES}")
    rebuild_history(commits, tmp_path / "r.git")
    branches = git(tmp_path / "r.git", "for-each-ref", "--format=%(refname:short) %(committerdate:unix)").splitlines()
    assert branches == ["head-1 1704067201", "main 1735689600"]


@pytest.mark.parametrize("service", ["rosalind", "metaphysics"])
def test_every_deployed_commit_of_the_sample_is_rebuilt(tmp_path: Path, service: str) -> None:
    rebuild_history(SAMPLE / "commits" / f"{service}.csv.gz", tmp_path / "r.git")
    mirror = Mirror(tmp_path / "git", f"github.com/artsy/{service}", str(tmp_path / "r.git"))
    mirror.fetch()
    files = [path for path in tracked_files(SAMPLE / "exports") if path.name.startswith(f"{service}-")] or [
        SAMPLE / "deployments.jsonl.gz"
    ]
    deployed = {line.split("commit")[1].split('sha":"')[1][:40] for path in files for line in _lines(path)}
    assert len(deployed) == {"rosalind": 315, "metaphysics": 4529}[service]
    assert mirror.missing(deployed) == set()


def _lines(path: Path) -> list[str]:
    with gzip.open(path, "rt") as handle:
        return handle.readlines()


def test_the_beginning_of_two_commits_is_resolved_to_neither(tmp_path: Path) -> None:
    rebuild_history(SAMPLE / "commits" / "rosalind.csv.gz", tmp_path / "r.git")
    mirror = Mirror(tmp_path / "git", "github.com/artsy/rosalind", str(tmp_path / "r.git"))
    mirror.fetch()
    one, other = "4c820998b3681b2df4097c43a596bb4d0a5d00ec", "4c8209925270e18760d33d964e147bfd503a2d3f"
    assert mirror.resolve(["4c82099", "4c820998", "4c820992"]) == {"4c820998": one, "4c820992": other}


def test_the_user_and_the_environment_do_not_change_the_shas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = table(tmp_path, f"{HEADER}b,a,{TIMES}a,,{TIMES}")
    rebuild_history(commits, tmp_path / "one.git")
    settings = tmp_path / "gitconfig"
    settings.write_text("[init]\n\tdefaultBranch = trunk\n[user]\n\tname = B\n[i18n]\n\tcommitEncoding = latin1\n")
    for name, value in {
        "GIT_CONFIG_GLOBAL": str(settings),
        "GIT_DEFAULT_HASH": "sha256",
        "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z",
        "GIT_DIR": str(tmp_path / "elsewhere"),
        "TZ": "Asia/Kathmandu",
    }.items():
        monkeypatch.setenv(name, value)
    rebuild_history(commits, tmp_path / "two.git")
    shas = [git(tmp_path / name, "rev-parse", "main", "main^") for name in ("one.git", "two.git")]
    assert shas[0] == shas[1]
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no commits"),
        (HEADER, "holds no commits"),
        ("sha,parents\na,\n", "line 2: the column author_time is missing"),
        (f"{HEADER}a,,{TIMES}b,a\n", "line 3: the column author_time is missing"),
        (f"{HEADER}a,,yesterday,2024-01-01T00:00:00Z\n", "not RFC 3339"),
        (f"{HEADER}a,,2024-01-01T00:00:00,2024-01-01T00:00:00Z\n", "no time zone"),
        (f"{HEADER}a,b,{TIMES}b,a,{TIMES}", "among its own ancestors"),
        (f"{HEADER}a,a,{TIMES}", "among its own ancestors"),
        (f"{HEADER}a,,{TIMES}a,,{TIMES}", "stands twice"),
    ],
)
def test_a_table_that_cannot_be_used_is_an_error_and_leaves_nothing(tmp_path: Path, text: str, message: str) -> None:
    commits = table(tmp_path, text)
    with pytest.raises(RepositoryError, match=message):
        rebuild_history(commits, tmp_path / "r.git")
    assert [path.name for path in tmp_path.iterdir()] == ["commits.csv"]


@pytest.mark.parametrize(
    "content", [None, b"not gzip", gzip.compress(HEADER.encode() * 500)[:-20], b"\x1f\x8b\x08\x00"]
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    commits = tmp_path / "commits.csv.gz"
    if content is not None:
        commits.write_bytes(content)
    with pytest.raises(RepositoryError, match=r"commits\.csv\.gz"):
        rebuild_history(commits, tmp_path / "r.git")


def test_a_repository_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "r.git").mkdir()
    with pytest.raises(RepositoryError, match="exists"):
        rebuild_history(table(tmp_path, f"{HEADER}a,,{TIMES}"), tmp_path / "r.git")


def test_the_sample_has_the_deployments_and_failures_that_its_readme_tells_of() -> None:
    apm = pl.concat([pl.read_ndjson(path) for path in tracked_files(SAMPLE / "exports" / "apm")])
    assert dict(apm.group_by("env").len().rows()) == {"production": 1621, "staging": 4540}
    assert len(_lines(SAMPLE / "deployments.jsonl.gz")) == 498
    assert len(_lines(SAMPLE / "failures.jsonl.gz")) == 30
    assert apm["timestamp"].is_sorted()
