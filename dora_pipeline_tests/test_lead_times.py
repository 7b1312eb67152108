"""Change lead times over real git repositories, and the reasons where there is none."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dora_pipeline.batches import connected
from dora_pipeline.pipeline import commits
from dora_pipeline_tests.full_homes import rebuilt
from dora_pipeline_tests.git_histories import History, dated_commit, git
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.lead_times import REPOSITORY, brought, reasons

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = 3600
TAGGER = ("-c", "user.name=A", "-c", "user.email=a@example.invalid")


def at(seconds: float) -> str:
    """Text for an instant after 2024-01-01 00:00 UTC."""
    return (NEW_YEAR + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()


def ago(days: float) -> str:
    """Text for an instant so many days before now, on a whole second."""
    return (datetime.now(UTC) - timedelta(days=days)).replace(tzinfo=None, microsecond=0).isoformat()


def deploy(home: TestHome, deployment_id: str, finished: str, sha: str | None, **attributes: Any) -> None:
    told: dict[str, Any] = {"git": {"commit_sha": sha, "repository_url": f"https://{REPOSITORY}.git"}} if sha else {}
    home.deploy("shop", finished, id=deployment_id, **(told | attributes))


def define_shop(home: TestHome, url: str, *patterns: str) -> None:
    """A service definition that names the repository, and the sources of the service in it."""
    definition = {
        "schema-version": "v2.2",
        "dd-service": "shop",
        "links": [{"name": "Source", "type": "repo", "url": url}],
        "extensions": {"datadoghq.com/dora-metrics": {"source_patterns": list(patterns)}},
    }
    home.home.services.mkdir(exist_ok=True)
    (home.home.services / "shop.yaml").write_text(json.dumps(definition))


def figures(home: TestHome, deployment_id: str) -> tuple[Any, ...]:
    """Number of commits, mean lead time, reason."""
    (row,) = home.rows(
        "SELECT lead_time_commits, lead_time_mean_seconds, lead_time_reason "
        "FROM core.deployments WHERE deployment_id = ?",
        deployment_id,
    )
    return row


def line(path: Path, length: int) -> list[str]:
    """A repository with commits in one line, one an hour; their SHAs by number from 1."""
    history = History()
    for number in range(length):
        history.commit(*([number] if number else []), committed=number * HOUR, authored=number * HOUR)
    return list(history.write(path, {"main": length}))


def test_a_deployment_brings_the_commits_since_the_previous_one_without_merges(home: TestHome, remote: Path) -> None:
    history = History()
    one = history.commit(committed=0)
    two = history.commit(one, committed=15 * HOUR, authored=10 * HOUR)
    side = history.commit(one, committed=16 * HOUR)
    merge = history.commit(two, side, committed=17 * HOUR)
    shas = history.write(remote, {"main": merge})
    deploy(home, "first", at(HOUR), shas[one])
    deploy(home, "second", at(19 * HOUR), shas[merge])
    home.run()
    assert figures(home, "first") == (None, None, "first_deployment")
    assert brought(home, "second") == {shas[two]: 9.0 * HOUR, shas[side]: 3.0 * HOUR}
    assert figures(home, "second") == (2, 6.0 * HOUR, None)
    assert home.rows(
        "SELECT previous_deployment_id, previous_commit_sha FROM core.deployments ORDER BY finished_at"
    ) == [
        (None, None),
        ("first", shas[one]),
    ]


def test_a_deployment_of_a_merge_alone_brings_no_commits(home: TestHome, remote: Path) -> None:
    history = History()
    one, two = history.commit(), history.commit(1)
    side = history.commit(one)
    merge = history.commit(two, side)
    deep = history.commit(merge, one)
    shas = history.write(remote, {"main": deep})
    deploy(home, "first", at(HOUR), shas[merge])
    deploy(home, "second", at(2 * HOUR), shas[deep])
    home.run()
    assert figures(home, "second") == (0, None, "no_commits")


def test_a_rollback_and_a_redeploy_bring_no_commits(home: TestHome, remote: Path) -> None:
    shas = line(remote, 3)
    for hour, number in enumerate((1, 3, 3, 2, 3), start=4):
        deploy(home, f"{hour}", at(hour * HOUR), shas[number])
    home.run()
    kinds = home.rows("SELECT kind, lead_time_commits, lead_time_reason FROM core.deployments ORDER BY finished_at")
    assert kinds == [
        ("standard", None, "first_deployment"),
        ("standard", 2, None),
        ("redeploy", 0, "no_commits"),
        # Back to a commit that was never deployed, and forward again.
        ("rollback", 0, "no_commits"),
        ("standard", 0, "redelivered"),
    ]


@pytest.mark.parametrize(
    ("seconds", "reason"), [(60 * 24 * HOUR, None), (60 * 24 * HOUR + 0.000001, "previous_too_old")]
)
def test_a_previous_deployment_counts_up_to_exactly_sixty_days(
    home: TestHome, remote: Path, seconds: float, reason: str | None
) -> None:
    shas = line(remote, 2)
    deploy(home, "first", at(2 * HOUR), shas[1])
    deploy(home, "second", at(2 * HOUR + seconds), shas[2])
    home.run()
    assert reasons(home) == {"first": "first_deployment", "second": reason}
    assert len(brought(home, "second")) == (0 if reason else 1)


def test_a_deployment_without_commit_is_passed_over_and_does_not_shorten_the_sixty_days(
    home: TestHome, remote: Path
) -> None:
    shas = line(remote, 4)
    deploy(home, "one", at(4 * HOUR), shas[1])
    deploy(home, "two", at(5 * HOUR), None)
    deploy(home, "three", at(6 * HOUR), shas[2])
    deploy(home, "four", at(50 * 24 * HOUR), None)
    deploy(home, "five", at(70 * 24 * HOUR), shas[3])
    home.run()
    assert reasons(home) == {
        "one": "first_deployment",
        "two": "no_commit",
        "three": None,
        "four": "no_commit",
        "five": "previous_too_old",
    }
    assert brought(home, "three") == {shas[2]: 5.0 * HOUR}


def test_deployments_without_repository_or_of_one_nobody_configured_say_so(home: TestHome, remote: Path) -> None:
    shas = line(remote, 2)
    other = remote.with_name("other.git")
    line(other, 2)
    for hour, number in ((3, 1), (4, 2)):
        home.deploy("none", at(hour * HOUR), id=f"none-{number}", git={"commit_sha": shas[number]})
        git_tags = {"commit_sha": shas[number], "repository_url": str(other)}
        home.deploy("stranger", at(hour * HOUR), id=f"stranger-{number}", git=git_tags)
    home.run()
    assert reasons(home)["none-2"] == "no_repository"
    assert reasons(home)["stranger-2"] == "repository_not_configured"
    assert not home.home.git.exists()


@pytest.mark.parametrize(
    ("configured", "urls"),
    [
        (
            "dev.azure.com/org/proj/_git/repo",
            ["git@ssh.dev.azure.com:v3/Org/Proj/Repo", "https://org@org.visualstudio.com/Proj/_git/Repo"],
        ),
        ("github.com/o/r", ["ssh://git@ssh.github.com:443/o/r.git", "https://www.github.com/O/R"]),
    ],
)
def test_other_spellings_of_a_host_are_the_configured_repository(
    home: TestHome, remote: Path, configured: str, urls: list[str]
) -> None:
    home.settings(repositories={configured: str(remote)})
    shas = line(remote, 2)
    for number, url in enumerate(urls, start=1):
        tags = {"commit_sha": shas[number], "repository_url": url}
        home.deploy("shop", at((number + 2) * HOUR), id=f"{number}", git=tags)
    home.run()
    assert reasons(home) == {"1": "first_deployment", "2": None}
    assert set(home.rows("SELECT repository_id FROM core.deployments")) == {(configured,)}


def test_the_repository_of_an_event_goes_before_the_catalogs_only_where_it_is_configured(
    home: TestHome, remote: Path, tmp_path: Path
) -> None:
    define_shop(home, f"https://{REPOSITORY}")
    shas = line(remote, 3)
    fork = tmp_path / "fork.git"
    other = History()
    for number in range(3):
        other.commit(*([number] if number else []), committed=number * HOUR + 1)
    others = other.write(fork, {"main": 3})
    for number in (1, 2):
        tags = {"commit_sha": shas[number], "repository_url": "https://proxy.example.com/mirrors/app"}
        home.deploy("shop", at((number + 2) * HOUR), id=f"proxy-{number}", git=tags)
        tags = {"commit_sha": others[number], "repository_url": "https://example.com/fork/app"}
        home.deploy("shop", at((number + 2) * HOUR + 60), id=f"fork-{number}", env="fork", git=tags)
    home.fail(["shop"], at(5 * HOUR), git={"commit_sha": shas[1], "repository_url": "https://proxy.example.com/x/app"})
    home.run()
    assert reasons(home)["proxy-2"] is None
    assert reasons(home)["fork-2"] == "commit_missing"
    assert home.rows("SELECT repository_id FROM core.failures") == [(REPOSITORY,)]
    home.settings(repositories={REPOSITORY: str(remote), "example.com/fork/app": str(fork)})
    home.run()
    assert reasons(home)["proxy-2"] is None
    assert reasons(home)["fork-2"] is None
    assert set(home.rows("SELECT env, repository_id FROM core.deployments")) == {
        ("prod", REPOSITORY),
        ("fork", "example.com/fork/app"),
    }


def test_a_repository_that_is_gone_is_missing_until_it_is_there(home: TestHome, remote: Path, tmp_path: Path) -> None:
    shas = line(tmp_path / "elsewhere.git", 2)
    deploy(home, "first", ago(3), shas[1])
    deploy(home, "second", ago(2), shas[2])
    home.run()
    assert reasons(home) == {"first": "first_deployment", "second": "repository_missing"}
    assert any(REPOSITORY in note for note in home.notes.notes)
    (tmp_path / "elsewhere.git").rename(remote)
    home.run()
    assert reasons(home) == {"first": "first_deployment", "second": None}
    assert list(brought(home, "second")) == [shas[2]]


def test_a_commit_that_is_pushed_later_is_found_by_the_next_run(home: TestHome, remote: Path, tmp_path: Path) -> None:
    work = tmp_path / "work.git"
    shas = line(work, 3)
    git(remote, "init", "--quiet", "--bare", "--template=")
    git(work, "push", "--quiet", str(remote), f"{shas[1]}:refs/heads/main")
    deploy(home, "first", ago(3), shas[1])
    deploy(home, "second", ago(2), shas[2])
    deploy(home, "third", ago(1), shas[1])
    home.run()
    assert reasons(home) == {
        "first": "first_deployment",
        "second": "commit_missing",
        "third": "previous_commit_missing",
    }
    git(work, "push", "--quiet", str(remote), f"{shas[2]}:refs/heads/main")
    home.run()
    assert reasons(home) == {"first": "first_deployment", "second": None, "third": "no_commits"}
    assert list(brought(home, "second")) == [shas[2]]


def test_a_commit_of_no_branch_is_found_by_the_run_that_hears_of_it_also_where_another_one_stays_missing(
    home: TestHome, remote: Path
) -> None:
    shas = line(remote, 3)
    git(remote, "update-ref", "refs/pull/7/head", shas[3])
    git(remote, "update-ref", "refs/heads/main", shas[2])
    deploy(home, "first", ago(5), shas[1], env="staging")
    deploy(home, "another", ago(4), shas[1], env="production")
    deploy(home, "missing", ago(3), "0" * 39 + "1", env="staging")
    home.run()
    assert reasons(home)["missing"] == "commit_missing"
    deploy(home, "request", ago(1), shas[3][:9], env="production")
    home.run()
    assert reasons(home)["missing"] == "commit_missing"
    assert {*brought(home, "request")} == {shas[2], shas[3]}


def test_old_deployments_get_their_lead_times_once_the_repository_can_be_fetched(
    home: TestHome, remote: Path, tmp_path: Path
) -> None:
    shas = line(tmp_path / "elsewhere.git", 3)
    deploy(home, "first", ago(31), shas[1])
    deploy(home, "second", ago(30), shas[2])
    deploy(home, "third", ago(1), shas[3])
    home.run()
    assert reasons(home)["second"] == "repository_missing"
    (tmp_path / "elsewhere.git").rename(remote)
    home.run()
    before = home.tables()
    assert reasons(home) == {"first": "first_deployment", "second": None, "third": None}
    home.run(rebuild=True)
    assert home.tables() == before


def test_correcting_the_address_of_a_repository_brings_the_lead_times_of_old_deployments(
    home: TestHome, tmp_path: Path
) -> None:
    home.select_events()
    home.settings(repositories={REPOSITORY: str(tmp_path / "mistyped.git")})
    shas = line(tmp_path / "app.git", 2)
    deploy(home, "first", at(3 * HOUR), shas[1])
    deploy(home, "second", at(4 * HOUR), shas[2])
    home.run()
    assert reasons(home)["second"] == "repository_missing"
    home.settings(repositories={REPOSITORY: str(tmp_path / "app.git")})
    home.run()
    assert reasons(home)["second"] is None


def test_naming_a_repository_later_brings_the_lead_times_of_old_deployments(home: TestHome, tmp_path: Path) -> None:
    home.select_events()
    shas = line(tmp_path / "app.git", 2)
    deploy(home, "first", at(3 * HOUR), shas[1])
    deploy(home, "second", at(4 * HOUR), shas[2])
    home.run()
    assert reasons(home)["second"] == "repository_not_configured"
    home.settings(repositories={REPOSITORY: str(tmp_path / "app.git")})
    home.run()
    assert reasons(home)["second"] is None


def test_a_day_that_is_not_asked_for_stays_as_it_is_when_its_service_gets_a_repository(
    home: TestHome, remote: Path
) -> None:
    shas = line(remote, 3)
    for number in (1, 2, 3):
        home.deploy("shop", f"2024-05-0{number} 10:00:00", id=f"d{number}", git={"commit_sha": shas[number]})
    home.run()
    define_shop(home, f"https://{REPOSITORY}")
    home.run("2024-05-03")
    assert (reasons(home)["d2"], reasons(home)["d3"]) == ("no_repository", None)
    assert (len(brought(home, "d2")), len(brought(home, "d3"))) == (0, 1)
    home.run()
    assert (reasons(home)["d2"], len(brought(home, "d2"))) == (None, 1)
    tables = home.tables()
    assert rebuilt(home) == tables


def test_source_patterns_leave_out_commits_that_touch_other_files(home: TestHome, remote: Path) -> None:
    history = History()
    history.commit(files={"README": "1"})
    inside = history.commit(1, committed=HOUR, files={"src/shop/main.py": "1"})
    history.commit(2, committed=2 * HOUR, files={"src/cart/main.py": "1"})
    both = history.commit(3, committed=3 * HOUR, files={"src/shop/deep/er.py": "1", "README": "2"})
    last = history.commit(4, committed=4 * HOUR, files={"README": "3"})
    shas = history.write(remote, {"main": last})
    define_shop(home, f"https://{REPOSITORY}", "src/shop/**")
    home.deploy("shop", at(HOUR / 2), id="first", git={"commit_sha": shas[1]})
    home.deploy("shop", at(5 * HOUR), id="second", git={"commit_sha": shas[both]})
    home.deploy("shop", at(6 * HOUR), id="third", git={"commit_sha": shas[last]})
    home.run()
    assert brought(home, "second") == {shas[inside]: 4.0 * HOUR, shas[both]: 2.0 * HOUR}
    assert figures(home, "third") == (0, None, "no_commits")
    define_shop(home, f"https://{REPOSITORY}")
    home.run()
    assert len(brought(home, "second")) == 3
    assert figures(home, "third") == (1, 2.0 * HOUR, None)


def test_a_commit_may_be_told_by_the_beginning_of_its_sha(home: TestHome, remote: Path) -> None:
    shas = line(remote, 3)
    deploy(home, "first", at(3 * HOUR), shas[1][:8])
    deploy(home, "second", at(4 * HOUR), shas[3][:7].upper())
    home.run()
    assert reasons(home)["second"] is None
    assert brought(home, "second") == {shas[2]: 3.0 * HOUR, shas[3]: 2.0 * HOUR}


def test_staging_does_not_take_the_commits_of_production(home: TestHome, remote: Path) -> None:
    shas = line(remote, 3)
    deploy(home, "prod-1", at(3 * HOUR), shas[1])
    deploy(home, "staging-1", at(4 * HOUR), shas[2], env="staging")
    deploy(home, "staging-2", at(5 * HOUR), shas[3], env="staging")
    deploy(home, "prod-2", at(6 * HOUR), shas[3])
    home.run()
    assert set(brought(home, "staging-2")) == {shas[3]}
    assert set(brought(home, "prod-2")) == {shas[2], shas[3]}
    assert reasons(home)["staging-1"] == "first_deployment"


def test_a_commit_authored_after_its_deployment_has_a_negative_lead_time(home: TestHome, remote: Path) -> None:
    history = History()
    one = history.commit()
    picked = history.commit(one, committed=HOUR, authored=5 * HOUR)
    shas = history.write(remote, {"main": picked})
    deploy(home, "first", at(HOUR), shas[one])
    deploy(home, "second", at(2 * HOUR + 0.5), shas[picked])
    home.run()
    assert brought(home, "second") == {shas[picked]: -3.0 * HOUR + 0.5}
    assert figures(home, "second") == (1, -3.0 * HOUR + 0.5, None)


def test_commits_without_an_author_time_have_no_lead_time_and_are_in_no_figure(home: TestHome, remote: Path) -> None:
    shas = line(remote, 2)
    alone = dated_commit(remote, shas[2], "99999999999999999999999 +0000")
    negative = dated_commit(remote, alone, "-1 +0000")
    good = dated_commit(remote, negative, f"{int(NEW_YEAR.timestamp()) + 5 * HOUR} +0000")
    git(remote, "update-ref", "refs/heads/main", good)
    deploy(home, "first", at(3 * HOUR), shas[1])
    deploy(home, "dated", at(4 * HOUR), shas[2])
    deploy(home, "undated", at(30 * HOUR), alone)
    deploy(home, "mixed", at(60 * HOUR), good)
    home.run()
    assert figures(home, "dated") == (1, 3.0 * HOUR, None)
    assert figures(home, "undated") == (0, None, "no_author_time")
    assert brought(home, "undated") == {alone: None}
    assert figures(home, "mixed") == (1, 55.0 * HOUR, None)
    assert brought(home, "mixed") == {negative: None, good: 55.0 * HOUR}
    columns = "lead_time_commits, lead_time_p50_seconds, lead_time_p90_seconds, lead_time_mean_seconds"
    assert home.rows(f"SELECT {columns}, deployment_lead_time_p50_seconds FROM metrics.daily ORDER BY day") == [
        (1, 3.0 * HOUR, 3.0 * HOUR, 3.0 * HOUR, 3.0 * HOUR),
        (0, None, None, None, None),
        (1, 55.0 * HOUR, 55.0 * HOUR, 55.0 * HOUR, 55.0 * HOUR),
    ]
    month = "'month', DATE '2024-01-01', DATE '2024-01-31'"
    for macro in (f"metrics.summary({month})", f"metrics.summary_by('all', {month})"):
        assert home.rows(f"SELECT {columns} FROM {macro}") == [(2, 29.0 * HOUR, 49.8 * HOUR, 29.0 * HOUR)]


def test_an_annotated_tag_stands_for_its_commit_at_both_ends(home: TestHome, remote: Path) -> None:
    shas = line(remote, 3)
    for number in (1, 3):
        git(remote, *TAGGER, "tag", "-a", "-m", "a release", f"v{number}", shas[number])
    git(remote, *TAGGER, "tag", "-a", "-m", "a tag of a tag", "again", "v3")
    tags = {name: git(remote, "rev-parse", name) for name in ("v1", "v3", "again")}
    deploy(home, "first", at(3 * HOUR), tags["v1"])
    deploy(home, "second", at(4 * HOUR), tags["v3"])
    deploy(home, "third", at(5 * HOUR), shas[1])
    deploy(home, "fourth", at(6 * HOUR), tags["again"][:12])
    home.run()
    redelivered = {"third": "no_commits", "fourth": "redelivered"}
    assert reasons(home) == {"first": "first_deployment", "second": None} | redelivered
    assert set(brought(home, "second")) == set(brought(home, "fourth")) == {shas[2], shas[3]}


def test_a_run_ends_and_says_so_where_a_repository_is_a_partial_clone(
    home: TestHome, remote: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.git"
    history = History()
    history.commit(files={"a": "1"})
    history.commit(1, committed=HOUR, files={"a": "2"})
    shas = history.write(whole, {"main": 2})
    git(whole, "config", "uploadpack.allowFilter", "true")
    partial = ("--filter=blob:none", "--no-checkout", f"file://{whole}", str(remote))
    subprocess.run(["git", "clone", "--quiet", *partial], check=True)
    whole.rename(tmp_path / "away.git")
    deploy(home, "first", at(3 * HOUR), shas[1])
    deploy(home, "second", at(4 * HOUR), shas[2])
    home.run()
    assert reasons(home)["second"] == "repository_missing"
    assert any("it is a partial clone" in note for note in home.notes.notes)


def test_a_duplicate_brings_no_commits_and_is_nobodys_previous_deployment(home: TestHome, remote: Path) -> None:
    shas = line(remote, 3)
    home.select("deployment", "deployment_event_api", "apm_deployment_tracking", at=datetime(2020, 1, 2, tzinfo=UTC))
    deploy(home, "one", at(3 * HOUR), shas[1], version="1")
    deploy(home, "two", at(5 * HOUR), shas[3], version="2")
    attributes = {"service": "shop", "env": "prod", "version": "1", "started_at": at(3 * HOUR + 60) + "Z"}
    told = attributes | {"git": {"commit_sha": shas[2], "repository_id": REPOSITORY}}
    home.drop_export("ready.jsonl", [{"type": "dora_deployment", "id": "one", "attributes": told}])
    home.run()
    assert figures(home, "apm:one") == (None, None, "duplicate")
    assert set(brought(home, "two")) == {shas[2], shas[3]}
    assert home.rows("SELECT previous_deployment_id FROM core.deployments WHERE deployment_id = 'two'") == [("one",)]


def test_an_earlier_deployment_told_late_takes_its_commits_from_the_next_one(home: TestHome, remote: Path) -> None:
    shas = line(remote, 3)
    deploy(home, "first", at(3 * HOUR), shas[1])
    deploy(home, "third", at(20 * 24 * HOUR), shas[3])
    home.run()
    assert set(brought(home, "third")) == {shas[2], shas[3]}
    deploy(home, "second", at(10 * 24 * HOUR), shas[2])
    home.run()
    assert set(brought(home, "second")) == {shas[2]}
    assert set(brought(home, "third")) == {shas[3]}
    before = home.tables()
    home.run(rebuild=True)
    assert home.tables() == before


def test_deployments_in_a_line_are_judged_alike_whichever_days_are_loaded(home: TestHome, remote: Path) -> None:
    shas = line(remote, 4)
    for day, number in ((1, 1), (2, 2), (3, 4)):
        deploy(home, f"day-{day}", at(day * 24 * HOUR), shas[number])
    home.run("2024-01-04")
    assert set(brought(home, "day-3")) == {shas[3], shas[4]}
    home.run()
    before = home.tables()
    home.run("2024-01-03")
    assert home.tables() == before
    assert reasons(home) == {"day-1": "first_deployment", "day-2": None, "day-3": None}


def test_services_that_are_looked_up_some_at_a_time_bring_the_same_commits(
    home: TestHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remotes = {f"github.com/acme/{name}": tmp_path / f"{name}.git" for name in ("one", "two", "three", "four")}
    lines = {}
    for name, path in remotes.items():
        history = History()
        for number in range(9):
            history.commit(*([number] if number else []), committed=number * HOUR, message=f"{name} {number}")
        lines[name] = list(history.write(path, {"main": 9}))[1:]
    home.settings(repositories={name: str(path) for name, path in remotes.items()})
    home.select_events()
    one, two, three, four = remotes
    # A service that moved, others of the repositories that it had, two of one repository, and one of its own.
    deployed = {"shop": (one, two), "cart": (two,), "wall": (one,), "mail": (three,), "till": (three,), "desk": (four,)}
    for service, names in deployed.items():
        for number in range(9):
            name = names[number * len(names) // 9]
            git = {"commit_sha": lines[name][number], "repository_url": f"https://{name}"}
            home.deploy(service, at((24 + number) * HOUR), id=f"{service}-{number}", git=git)
    home.run()
    before = home.tables()
    assert len(before["core.deployment_commits"]) == 6 * 8 - 1
    monkeypatch.setattr(commits, "_AT_ONCE", 1)
    assert rebuilt(home) == before


def test_what_is_connected_is_found_whichever_way_it_hangs_together() -> None:
    pairs = [("a", "x"), ("b", "y"), ("c", "x"), ("y", "c"), ("a", "z"), ("d", "z"), ("b", "w")]
    assert [sorted(found) for found in connected(pairs)] == [
        [("a", "x"), ("a", "z"), ("c", "x"), ("d", "z")],
        [("b", "w"), ("b", "y")],
        [("y", "c")],
    ]


def shop_and_cart(remote: Path, branch: str) -> list[str]:
    """Two commits after the first: one of apps/a, one of apps/b."""
    history = History()
    history.commit(files={"apps/a/x": "1", "apps/b/x": "1", "libs/x": "1"})
    history.commit(1, committed=HOUR, files={"apps/a/x": "2"})
    history.commit(2, committed=2 * HOUR, files={"apps/b/x": "2"})
    return list(history.write(remote, {"main": 1, branch: 3}))


def link_shop(home: TestHome, url: str) -> None:
    home.home.services.mkdir(exist_ok=True)
    (home.home.services / "shop.yaml").write_text(
        f"schema-version: v2.2\ndd-service: shop\nlinks: [{{name: Source, type: repo, url: '{url}'}}]\n"
    )


def test_a_link_to_a_branch_with_a_slash_means_its_folder(home: TestHome, remote: Path) -> None:
    shas = shop_and_cart(remote, "release/1.0")
    link_shop(home, f"https://{REPOSITORY}/tree/release/1.0/apps/a")
    home.deploy("shop", at(3 * HOUR), id="first", git={"commit_sha": shas[1]})
    home.deploy("shop", at(4 * HOUR), id="second", git={"commit_sha": shas[3]})
    home.run()
    assert home.rows("SELECT source_patterns FROM core.services") == [(["apps/a/**"],)]
    assert brought(home, "second") == {shas[2]: 3.0 * HOUR}
    assert list(home.run().days) == []
    before = home.tables()
    home.run(rebuild=True)
    assert home.tables() == before
    # A branch that comes later than the mirror.
    git(remote, "update-ref", "refs/heads/release/2.0", shas[3])
    link_shop(home, f"https://{REPOSITORY}/tree/release/2.0/apps/b")
    home.run()
    assert brought(home, "second") == {shas[3]: 2.0 * HOUR}


def test_a_link_without_deployments_fetches_nothing(home: TestHome, remote: Path) -> None:
    link_shop(home, f"https://{REPOSITORY}/tree/release/1.0/apps/a")
    home.run()
    assert home.rows("SELECT source_patterns FROM core.services") == [(["1.0/apps/a/**"],)]
    assert not any(REPOSITORY in note for note in home.notes.notes)


def test_code_locations_of_schema_v3_give_repository_and_patterns(home: TestHome, remote: Path) -> None:
    shas = shop_and_cart(remote, "work")
    home.home.services.mkdir()
    (home.home.services / "shop.yaml").write_text(
        "apiVersion: v3\nkind: service\nmetadata: {name: shop}\n"
        f"datadog: {{codeLocations: [{{repositoryURL: 'https://{REPOSITORY}', paths: ['apps/**', '!apps/b/**']}}]}}\n"
    )
    home.deploy("shop", at(3 * HOUR), id="first", git={"commit_sha": shas[1]})
    home.deploy("shop", at(4 * HOUR), id="second", git={"commit_sha": shas[3]})
    home.run()
    assert brought(home, "second") == {shas[2]: 3.0 * HOUR}


def test_a_check_warns_of_a_service_whose_patterns_match_no_file(home: TestHome, remote: Path) -> None:
    shas = shop_and_cart(remote, "release/1.0")
    define_shop(home, f"https://{REPOSITORY}", "app/a/**", "!libs/**")
    home.deploy("shop", at(3 * HOUR), id="first", git={"commit_sha": shas[1]})
    home.deploy("shop", at(4 * HOUR), id="second", git={"commit_sha": shas[3]})
    home.run()
    (warning,) = [result for result in home.run(warns=True).warnings if result.name == "patterns_matched"]
    assert f"shop (app/a/** !libs/** in {REPOSITORY})" in warning.line
    define_shop(home, f"https://{REPOSITORY}", "apps/a/**", "!libs/**")
    assert [result for result in home.run(warns=True).warnings if result.name == "patterns_matched"] == []
