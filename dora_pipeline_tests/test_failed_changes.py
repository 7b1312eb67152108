"""Which deployments failed: by what went live again, by marks and by rules; nothing here needs a repository."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests.homes import DEPLOYMENTS_BY_APM, DEPLOYMENTS_BY_EVENT, TestHome, moment

DAY = "2024-05-06"
# A deployment that failed, the way, the rule, and what mended it in which way and after how many hours.
Failed = tuple[int, str, str | None, int | None, str | None, float | None]


def deploy(home: TestHome, service: str, *deployments: str | Mapping[str, Any] | None) -> None:
    """Deployments of a service, an hour apart, named by their places; a text is a version."""
    for place, given in enumerate(deployments):
        attributes = given if isinstance(given, Mapping) else {"version": given}
        home.deploy(service, f"{DAY}T{place:02}:00:00", **{"id": f"{service} {place}", **attributes})


def mark(home: TestHome, deployment_id: str, *, failed: bool, **remediation: str) -> None:
    """What PATCH does."""
    with EventStore.at(home.home) as store:
        changes: dict[str, Any] = {"change_failure": failed}
        assert store.update(
            "deployment", deployment_id, changes | ({"remediation": remediation} if remediation else {})
        )


def kinds(home: TestHome, service: str) -> list[str]:
    rows = home.rows("SELECT kind FROM core.deployments WHERE service = ? ORDER BY finished_at", service)
    return [kind for (kind,) in rows]


def failed(home: TestHome, service: str) -> list[Failed]:
    """What failed of a service, by places."""
    rows = home.rows(
        """
        SELECT deployment_id, way, rule, remediation_id, remediation_type, recovery_seconds / 3600
        FROM core.failed_changes WHERE service = ? ORDER BY ALL
        """,
        service,
    )
    return [(place(one), way, rule, place(other), *rest) for one, way, rule, other, *rest in rows]


def place(deployment_id: str | None) -> Any:
    return deployment_id and int(deployment_id.rpartition(" ")[2])


def rolled_back(one: int, other: int) -> Failed:
    return (one, "rollback", None, other, "rollback", float(other - one))


S, D, B = "standard", "redeploy", "rollback"
RETURNS: dict[str, tuple[Sequence[str | None], Sequence[str], Sequence[Failed]]] = {
    "the first after the target failed": (["1", "2", "3", "1"], [S, S, S, B], [rolled_back(1, 3)]),
    "the same again": (["1", "1"], [S, D], []),
    "forward after a rollback": (["0", "1", "2", "0", "2"], [S, S, S, B, S], [rolled_back(1, 3)]),
    "the latest is the target": (["1", "2", "1", "3", "1"], [S, S, B, S, B], [rolled_back(1, 2), rolled_back(3, 4)]),
    "a target deployed twice": (["1", "1", "2", "1"], [S, D, S, B], [rolled_back(2, 3)]),
    "only the most recent rollback counts": (
        ["1", "2", "3", "1", "2", "4", "1", "3"],
        [S, S, S, B, S, S, B, B],
        [rolled_back(1, 3), rolled_back(3, 7), rolled_back(4, 6)],
    ),
    "nothing known": (["1", None, "1", "2"], [S, S, S, S], []),
    "after nothing known": (["1", "2", None, "1", "2"], [S, S, S, S, B], [rolled_back(2, 4)]),
}
COMMITS = ("a" * 40, "b" * 40)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home with a service for each case."""
    home = TestHome(tmp_path_factory.mktemp("failed") / "home")
    home.select_events()
    rule = {"name": "hotfix", "field": "version", "matches": "(?i)hotfix", "fails": "previous"}
    home.settings(
        change_failure_rules=[
            # It stands first, and leaves to the others what they know of a remediation.
            rule | {"name": "broken", "field": "custom_tag", "matches": "^broken:", "fails": "itself"},
            rule,
            rule | {"name": "branch", "field": "branch_tag", "matches": "^fix/"},
            rule | {"name": "urgent", "field": "custom_tag", "matches": "^urgent:(yes|true)$"},
        ]
    )
    for name, (versions, _, _) in RETURNS.items():
        deploy(home, name, *versions)
    one, other = ({"git": {"commit_sha": sha, "repository_url": "https://x.test/a"}} for sha in COMMITS)
    # The commit goes before the version.
    deploy(home, "commits", one | {"version": "1"}, other | {"version": "1"}, one | {"version": "2"})
    deploy(home, "environments", "1", {"version": "1", "env": "staging"}, "2", {"version": "2", "env": "staging"}, "1")

    deploy(home, "hotfixes", "1", "2-HotFix", "3-hotfix", "4-hotfix", "5")
    deploy(home, "hotfix again", "1", "2-hotfix", "2-hotfix", "3", "2-hotfix")
    deploy(home, "hotfix first", "1-hotfix")
    tag = "custom_tags"
    deploy(
        home, "branches", "1", {"version": "2", tag: ["git.branch:fix/x"]}, "3", {"version": "4", tag: ["branch:fix/y"]}
    )
    deploy(home, "tags", "1", {"version": "2", tag: ["urgent:true"]}, {"version": "3", tag: ["urgent:yesterday"]})
    deploy(home, "broken", "1", {"version": "2", tag: ["broken:yes"]}, "3")
    home.home.services.mkdir()
    definition = {"schema-version": "v2.2", "dd-service": "tagged", "tags": ["broken:always"]}
    (home.home.services / "tagged.yaml").write_text(json.dumps(definition))
    deploy(home, "tagged", "1", {"version": "2", tag: ["urgent:true"]})
    deploy(home, "broken and mended", "1", {"version": "2", tag: ["broken:yes"]}, "3-hotfix")
    deploy(home, "rollback before rule", "1", "2", "3-hotfix", "1")

    for name in ("yes", "yes by", "yes elsewhere", "yes by nobody", "no"):
        deploy(home, name, "1", "2", "3", "1")
    deploy(home, "no to a hotfix", "1", "2-hotfix")
    deploy(home, "no and the next", "1", "2-hotfix", "3-hotfix")
    deploy(home, "yes by a former id", "1", "2")
    # An event that gets its own id later is known by the one that it was given, too.
    given = home.deploy("yes by a former id", f"{DAY}T05:00:00", version="3")
    home.deploy("yes by a former id", f"{DAY}T05:00:00", version="3", id="yes by a former id 5")
    mark(home, "yes by a former id 1", failed=True, id=given, type="rollforward")
    mark(home, "yes 1", failed=True)
    mark(home, "yes by 1", failed=True, id="yes by 2", type="rollforward")
    mark(home, "yes elsewhere 2", failed=True, id="hotfixes 4", type="rollforward")
    mark(home, "yes by nobody 1", failed=True, id="unknown", type="rollback")
    # One in the second of another is rejected, and is not that one.
    deploy(home, "yes by a rejected", "1", "2", "3")
    home.deploy("yes by a rejected", f"{DAY}T02:00:00", version="4", id="yes by a rejected 9")
    mark(home, "yes by a rejected 1", failed=True, id="yes by a rejected 9", type="rollforward")
    # What was there already mended nothing.
    deploy(home, "yes by an earlier", "1", "2", "3")
    mark(home, "yes by an earlier 1", failed=True, id="yes by an earlier 1", type="rollforward")
    mark(home, "yes by an earlier 2", failed=True, id="yes by an earlier 0", type="rollforward")
    mark(home, "no 1", failed=False)
    mark(home, "no to a hotfix 0", failed=False)
    mark(home, "no and the next 0", failed=False)
    home.run()
    return home


@pytest.mark.parametrize("name", RETURNS)
def test_what_goes_live_again_is_a_rollback_and_the_first_after_its_target_failed(home: TestHome, name: str) -> None:
    _, expected, changes = RETURNS[name]
    assert kinds(home, name) == list(expected)
    assert failed(home, name) == list(changes)


def test_what_was_left_behind_is_known_to_runs_that_judge_only_later_days(tmp_path: Path) -> None:
    home = TestHome(tmp_path / "home")
    home.select_events()
    for places in (range(3), range(3, 4), range(4, 8)):
        for name, (versions, _, _) in RETURNS.items():
            for number, version in list(enumerate(versions))[places.start : places.stop]:
                at = f"2024-05-{6 + number:02}T12:00:00"
                home.deploy(name, at, id=f"{name} {number}", version=version)
        home.run()
    for name, (_, expected, changes) in RETURNS.items():
        assert kinds(home, name) == list(expected)
        assert [row[:4] for row in failed(home, name)] == [row[:4] for row in changes]


def test_what_went_live_is_the_commit_else_the_version_and_each_environment_is_by_itself(home: TestHome) -> None:
    assert kinds(home, "commits") == [S, S, B]
    assert failed(home, "commits") == [rolled_back(1, 2)]
    assert kinds(home, "environments") == [S, S, S, S, B]
    assert failed(home, "environments") == [rolled_back(2, 4)]


def by_rule(one: int, rule: str, other: int | None) -> Failed:
    return (one, "rule", rule, other, other and "rollforward", other and float(other - one))


def test_the_one_right_before_a_hotfix_failed_unless_it_mends_another(home: TestHome) -> None:
    assert failed(home, "hotfixes") == [by_rule(0, "hotfix", 1), by_rule(2, "hotfix", 3)]
    assert failed(home, "hotfix again") == [by_rule(0, "hotfix", 1), rolled_back(3, 4)]
    assert failed(home, "hotfix first") == []


def test_rules_look_at_branches_and_tags_and_at_the_deployment_itself(home: TestHome) -> None:
    assert failed(home, "branches") == [by_rule(0, "branch", 1), by_rule(2, "branch", 3)]
    assert failed(home, "tags") == [by_rule(0, "urgent", 1)]
    assert failed(home, "broken") == [by_rule(1, "broken", None)]
    # An event carries the tags of its service, too.
    assert failed(home, "tagged") == [by_rule(0, "urgent", 1), by_rule(1, "broken", None)]
    assert failed(home, "broken and mended") == [by_rule(1, "hotfix", 2)]


def test_a_rollback_goes_before_a_rule(home: TestHome) -> None:
    # The hotfix names 1, which the rollback names too, with another remediation.
    assert failed(home, "rollback before rule") == [rolled_back(1, 3)]


def test_a_mark_stands_over_all_and_names_what_mended_it_or_takes_what_was_found(home: TestHome) -> None:
    assert failed(home, "yes") == [(1, "mark", None, 3, "rollback", 2.0)]
    assert failed(home, "yes by") == [(1, "mark", None, 2, "rollforward", 1.0)]
    assert failed(home, "yes elsewhere") == [rolled_back(1, 3), (2, "mark", None, 4, "rollforward", 2.0)]
    assert failed(home, "yes by a rejected") == [(1, "mark", None, 9, "rollforward", None)]
    by_earlier = [(1, "mark", None, 1, "rollforward", None), (2, "mark", None, 0, "rollforward", None)]
    assert failed(home, "yes by an earlier") == by_earlier
    assert failed(home, "yes by a former id") == [(1, "mark", None, 5, "rollforward", 4.0)]
    rows = home.rows("SELECT * EXCLUDE day FROM core.failed_changes WHERE deployment_id = 'yes by nobody 1'")
    assert rows == [("yes by nobody 1", "yes by nobody", "prod", None, "mark", None, "unknown", "rollback", None, True)]


def test_a_mark_that_says_no_takes_the_rework_and_leaves_the_kind(home: TestHome) -> None:
    assert (failed(home, "no"), kinds(home, "no")) == ([], [S, S, S, B])
    assert failed(home, "no to a hotfix") == []
    # The first hotfix mends nothing, so it is one that can fail.
    assert failed(home, "no and the next") == [by_rule(1, "hotfix", 2)]


NOW = (
    "SELECT deployment_id, way, remediation_id, CAST(day AS VARCHAR), is_selected FROM core.failed_changes ORDER BY ALL"
)


def test_new_rules_late_deployments_marks_and_selections_move_what_failed_as_a_rebuild_says(
    tmp_path: Path,
) -> None:
    home = TestHome(tmp_path / "home")
    home.select_events()
    home.deploy("shop", "2024-05-01T10:00:00", id="one", version="1")
    home.deploy("shop", "2024-05-02T10:00:00", id="two", version="2")
    home.deploy("shop", "2024-05-04T10:00:00", id="three", version="3")
    rule = {"name": "rare", "field": "branch_tag", "matches": "^fix/", "fails": "previous"}
    home.settings(change_failure_rules=[rule, rule | {"name": "second", "field": "version", "matches": "^2$"}])
    # The first rule would find something, if anybody told branches; the second one does.
    assert [found.line for found in home.run(warns=True).warnings if found.name == "rules_match"] == [
        "rules that match nothing (1): rare: ^fix/ in branch_tag [core.failed_changes rules_match]"
    ]
    assert home.rows(NOW) == [("one", "rule", "two", "2024-05-01", True)]

    home.settings()
    home.deploy("shop", "2024-05-05T10:00:00", id="back", version="1")
    report = home.run(warns=True)
    # Of the deployment that failed three days before nothing else changes.
    assert report.days == [date(2024, 5, 5)]
    assert [found.name for found in report.warnings if found.name == "rules_match"] == []
    assert home.rows(NOW) == [("two", "rollback", "back", "2024-05-02", True)]

    home.deploy("shop", "2024-05-01T20:00:00", id="late", version="1.5", received="2024-05-06T00:00:00")
    assert home.run().days == [date(2024, 5, 1)]
    assert home.rows(NOW) == [("late", "rollback", "back", "2024-05-01", True)]

    mark(home, "late", failed=False)
    mark(home, "two", failed=True, id="three", type="rollforward")
    assert home.run().days == [date(2024, 5, 1), date(2024, 5, 2)]
    assert home.rows(NOW) == [("two", "mark", "three", "2024-05-02", True)]
    assert home.rows("SELECT kind FROM core.deployments WHERE deployment_id = 'back'") == [("rollback",)]

    home.select("deployment", *DEPLOYMENTS_BY_APM, at=moment("2020-02-01"))
    event = {"service": "shop", "env": "prod", "version": "2", "started_at": "2024-05-02T10:01:00Z"}
    later = event | {"service": "till", "started_at": "2024-05-04T10:00:00Z", "version": "3"}
    marked = later | {"change_failure": True, "remediation": {"id": "two", "type": "rollforward"}}
    given = {"two": event | {"change_failure": False}, "till": marked}
    events = [{"type": "dora_deployment", "id": name, "attributes": attributes} for name, attributes in given.items()]
    home.drop_export("ready.jsonl", events)
    home.run()
    # The list names its events without the prefix that they have here.
    assert home.rows(NOW) == [
        ("apm:till", "mark", "apm:two", "2024-05-04", True),
        ("two", "mark", "three", "2024-05-02", False),
    ]

    # The mark is one of a duplicate, and the remediation's id is that of one too.
    home.select("deployment", *DEPLOYMENTS_BY_APM, *DEPLOYMENTS_BY_EVENT, at=moment("2020-03-01"))
    home.deploy("cart", "2024-05-03T10:00:00", id="cart", version="1")
    mark(home, "cart", failed=True, id="two", type="rollforward")
    home.run()
    assert home.rows(NOW) == [
        ("apm:till", "mark", "apm:two", "2024-05-04", True),
        ("apm:two", "mark", "three", "2024-05-02", True),
        ("cart", "mark", "apm:two", "2024-05-03", True),
    ]
    told = home.tables()
    home.run(rebuild=True)
    assert home.tables() == told


def test_a_mark_that_is_taken_back_or_moved_frees_the_deployment_of_another_service_that_it_named(
    tmp_path: Path,
) -> None:
    home = TestHome(tmp_path / "home")
    home.select_events()
    for number in ("1", "2"):
        home.deploy(f"marked-{number}", f"{DAY}T01:00:00", id=f"marked {number}", version="1")
        home.deploy(f"fixed-{number}", f"{DAY}T02:00:00", id=f"broken {number}", version="1")
        home.deploy(f"fixed-{number}", f"{DAY}T03:00:00", id=f"fix {number}", version="2-hotfix")
        mark(home, f"marked {number}", failed=True, id=f"broken {number}", type="rollforward")
    home.run()
    # A hotfix fails nothing where the one before it is a remediation.
    assert [row[:3] for row in home.rows(NOW)] == [("marked 1", "mark", "broken 1"), ("marked 2", "mark", "broken 2")]
    mark(home, "marked 1", failed=False)
    mark(home, "marked 2", failed=True, id="elsewhere", type="rollforward")
    home.run()
    assert [row[:3] for row in home.rows(NOW)] == [
        ("broken 1", "rule", "fix 1"),
        ("broken 2", "rule", "fix 2"),
        ("marked 2", "mark", "elsewhere"),
    ]
    told = home.tables()
    home.run(rebuild=True)
    assert home.tables() == told
