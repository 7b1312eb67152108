"""Which deployment a failure is linked to, by which rule, or why to none; and that links follow what changes."""

import json
from datetime import date
from typing import Any

import pytest

from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.remedies import remedies
from dora_pipeline.tables import FailureLinks, Failures
from dora_pipeline_tests.homes import DEPLOYMENTS_BY_APM, DEPLOYMENTS_BY_EVENT, FAILURES_BY_EVENT, TestHome, moment
from dora_pipeline_tests.oracle_links import Link, found_links

DAY = 86_400.0


def define(home: TestHome, **teams: str) -> None:
    """Services of the catalog, with their teams."""
    home.home.services.mkdir(exist_ok=True)
    for service, team in teams.items():
        definition = {"schema-version": "v2.2", "dd-service": service, "team": team}
        (home.home.services / f"{service}.yaml").write_text(json.dumps(definition))


def tell_of_rules(home: TestHome) -> str:
    """A service for each rule, in a home whose links are to be looked at; the id that the intake made up for one."""
    home.select("deployment", *DEPLOYMENTS_BY_APM, *DEPLOYMENTS_BY_EVENT)
    home.select("failure", *FAILURES_BY_EVENT)
    define(home, planned="blue", red="red")
    ready = {"service": "tag", "env": "prod", "version": "9", "started_at": "2024-05-06T08:00:00Z"}
    ready["finished_at"] = ready["started_at"]
    home.drop_export("ready.jsonl", [{"type": "dora_deployment", "id": "counts", "attributes": ready}])
    tagged = {"schema-version": "v2.2", "dd-service": "edge", "tags": ["tier:1", "a:1"], "languages": ["go", "sql"]}
    (home.home.services / "edge.yaml").write_text(json.dumps(tagged))
    home.deploy("tag", "2024-05-06T08:00:30", id="told-twice", version="9")
    home.deploy("tag", "2024-05-06T10:00:00", id="tag-1", version="1")
    home.deploy("tag", "2024-05-06T11:00:00", id="tag-2", version="2")
    home.deploy("else", "2024-05-06T12:00:00", id="else-1", env="staging")
    made_up = home.deploy("else", "2024-05-06T13:00:00", received="2024-05-06 13:00:01")
    home.deploy("else", "2024-05-06T13:00:00", id="named", received="2024-05-06 13:00:02")
    for seconds, (name, tags) in enumerate(
        (
            ("names", ["size:1", "deployment_id:else-1"]),
            ("names-two", ["deployment_id:tag-1", "deployment_id: else-1"]),
            ("names-nobody", ["deployment_id:nobody"]),
            ("names-a-duplicate", ["deployment_id:told-twice"]),
            ("names-an-export", ["deployment_id:counts"]),
            ("names-by-the-first-id", [f"deployment_id:{made_up}"]),
        )
    ):
        home.fail(["tag"], f"2024-05-06T11:30:0{seconds}", id=name, custom_tags=tags)

    home.deploy("commit", "2024-05-01T10:00:00", id="commit-1", git={"commit_sha": "a" * 40})
    home.deploy("commit", "2024-05-02T10:00:00", id="commit-2", git={"commit_sha": "b" * 7})
    home.deploy("commit", "2024-05-03T10:00:00", id="commit-3", git={"commit_sha": "b" * 8 + "c" * 32}, version="3")
    for name, started, sha in (
        ("short", "04T10:00:05", "a" * 7),
        ("whole", "04T10:00:07", "b" * 8 + "c" * 32),
        ("other", "04T10:00:09", "b" * 9),
        ("old", "20T10:00:03", "a" * 40),
    ):
        home.fail(["commit"], f"2024-05-{started}", id=name, git={"commit_sha": sha})
    home.fail(["commit"], "2024-05-20T11:00:00", id="both", git={"commit_sha": "a" * 40}, version="3")

    home.deploy("version", "2024-05-01T10:00:00", id="version-1", version="1")
    home.deploy("version", "2024-05-02T10:00:00", id="version-2", version="2")
    home.deploy("version", "2024-05-03T10:00:00", id="version-3", version="2", env="staging")
    home.fail(["version"], "2024-05-03T10:00:00", id="version", version="1")
    home.fail(["version"], "2024-05-03T12:00:00", id="no-env", env=None)
    home.fail(["version"], "2024-05-30T12:00:00", id="no-env-old", env=None, version="2")

    home.deploy("edge", "2024-05-01T10:00:00", id="edge-1", custom_tags=["z:9", "a:1", "z:9"])
    home.deploy("edge", "2024-05-20T10:05:00", id="edge-2")
    home.fail(["edge"], "2024-05-08T10:00:00", id="in-window", custom_tags=["language:go"])
    home.fail(["edge"], "2024-05-08T10:00:01.000001", id="past-window")
    home.fail(["edge"], "2024-05-20T10:00:00", id="in-slack")
    home.fail(["edge"], "2024-05-20T09:59:59.999999", id="past-slack")
    home.fail(["edge"], "2024-05-01T09:00:00", id="before-all")

    home.deploy("tie", "2024-05-06T10:00:00", id="tie-a")
    home.deploy("tie", "2024-05-06T10:00:00", id="tie-c", started_at="2024-05-06T09:00:00Z")
    home.deploy("tie", "2024-05-06T10:00:00", id="tie-b", started_at="2024-05-06T09:30:00Z")
    home.fail(["tie", "nowhere", "planned"], "2024-05-06T10:00:00", id="tie")

    home.deploy("back", "2024-05-06T09:00:00", id="back-1", version="1")
    home.deploy("back", "2024-05-06T10:00:00", id="back-2", version="2")
    home.deploy("back", "2024-05-06T11:02:00", id="back-3", version="1")
    home.fail(["back"], "2024-05-06T11:00:00", id="before-rollback")
    home.fail(["back"], "2024-05-06T11:02:00", id="at-rollback")

    home.deploy("red", "2024-05-06T09:00:00", id="red-1")
    home.deploy("green", "2024-05-06T10:00:00", id="red-2", team="red")
    home.deploy("green", "2024-05-06T11:00:00", id="green-1", team="green", env="staging")
    for name, team, started in (
        ("of-team", "red", "2024-05-06T10:30:00"),
        ("of-team-old", "red", "2024-06-06T10:30:00"),
        ("of-team-elsewhere", "green", "2024-05-06T10:31:00"),
        ("of-team-unknown", "blue", "2024-05-06T10:32:00"),
    ):
        home.fail([], started, id=name, team=team, version="1")
    home.fail([], "2024-05-06T10:33:00", id="of-team-named", team="blue", custom_tags=["deployment_id:tag-1"])
    return made_up


Links = dict[tuple[str, str | None], Link]


@pytest.fixture(scope="module")
def linked_home(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    home = TestHome(tmp_path_factory.mktemp("rules") / "home")
    tell_of_rules(home)
    home.run()
    return home


@pytest.fixture(scope="module")
def links(linked_home: TestHome) -> Links:
    return found_links(linked_home)


def test_a_tag_names_a_deployment_of_any_service_and_time(links: Links) -> None:
    assert links["names", "tag"] == ("else-1", "deployment_id", None, -1800.0, "tag-2", "latest")
    assert links["names-two", "tag"] == ("else-1", "deployment_id", None, -1799.0, "tag-1", "deployment_id")
    assert links["names-nobody", "tag"] == ("tag-2", "latest", None, 1802.0, "tag-1", "latest")


def test_a_tag_that_names_a_duplicate_or_another_id_of_an_event_means_what_counts(links: Links) -> None:
    assert links["names-a-duplicate", "tag"][:2] == ("apm:counts", "deployment_id")
    assert links["names-an-export", "tag"][:2] == ("apm:counts", "deployment_id")
    assert links["names-by-the-first-id", "tag"][:2] == ("named", "deployment_id")


def test_the_commit_finds_its_deployment_however_old_and_short_shas_match_either_way(links: Links) -> None:
    assert links["short", "commit"] == ("commit-1", "commit", None, 3 * DAY + 5, "commit-3", "latest")
    assert links["whole", "commit"] == ("commit-3", "commit", None, DAY + 7, "commit-2", "commit")
    assert links["other", "commit"] == ("commit-2", "commit", None, 2 * DAY + 9, "commit-3", "latest")
    assert links["old", "commit"] == ("commit-1", "commit", None, 19 * DAY + 3, None, None)


def test_the_commit_goes_before_the_version_and_that_before_the_latest(links: Links) -> None:
    assert links["both", "commit"] == ("commit-1", "commit", None, 19 * DAY + 3600, "commit-3", "version")
    assert links["version", "version"] == ("version-1", "version", None, 2 * DAY, "version-2", "latest")


def test_a_failure_without_an_env_may_be_of_every_env(links: Links) -> None:
    assert links["no-env", "version"] == ("version-3", "latest", None, 7200.0, "version-2", "latest")
    assert links["no-env-old", "version"][:2] == ("version-3", "version")
    assert links["no-env-old", "version"][4:] == ("version-2", "version")


def test_the_latest_is_looked_for_in_the_window_and_the_slack_their_bounds_included(links: Links) -> None:
    assert links["in-window", "edge"] == ("edge-1", "latest", None, 7 * DAY, None, None)
    assert links["past-window", "edge"] == (None, None, "too_long_ago", None, None, None)
    assert links["in-slack", "edge"] == ("edge-2", "latest", None, -300.0, None, None)
    assert links["past-slack", "edge"] == (None, None, "too_long_ago", None, None, None)
    assert links["before-all", "edge"] == (None, None, "no_deployment", None, None, None)


def test_of_deployments_that_finished_together_the_last_by_id_is_named(links: Links) -> None:
    assert links["tie", "tie"] == ("tie-c", "latest", None, 0.0, "tie-b", "latest")


def test_each_service_of_a_failure_has_its_own_link_or_reason(links: Links) -> None:
    assert links["tie", "nowhere"] == (None, None, "unknown_service", None, None, None)
    assert links["tie", "planned"] == (None, None, "no_deployment", None, None, None)


def test_a_rollback_is_no_candidate_before_it_is_done(links: Links) -> None:
    assert links["before-rollback", "back"] == ("back-2", "latest", None, 3600.0, "back-1", "latest")
    assert links["at-rollback", "back"] == ("back-3", "latest", None, 0.0, "back-2", "latest")


def test_a_failure_without_a_service_is_linked_by_its_team_or_a_tag(links: Links) -> None:
    assert links["of-team", None] == ("red-2", "team", None, 1800.0, "red-1", "team")
    assert links["of-team-old", None] == (None, None, "too_long_ago", None, None, None)
    assert links["of-team-elsewhere", None] == (None, None, "no_deployment", None, None, None)
    assert links["of-team-unknown", None] == (None, None, "no_service", None, None, None)
    assert links["of-team-named", None][:2] == ("tag-1", "deployment_id")


def test_events_carry_their_own_tags_then_those_of_their_service_each_once(linked_home: TestHome) -> None:
    of_service = ["tier:1", "a:1", "language:go", "language:sql"]
    assert linked_home.rows(
        "SELECT deployment_id, custom_tags FROM core.deployments WHERE service IN ('edge', 'tie') ORDER BY ALL"
    ) == [
        ("edge-1", ["z:9", "a:1", "tier:1", "language:go", "language:sql"]),
        ("edge-2", of_service),
        ("tie-a", []),
        ("tie-b", []),
        ("tie-c", []),
    ]
    assert linked_home.rows(
        "SELECT failure_id, custom_tags FROM core.failures WHERE failure_id LIKE 'in-%' ORDER BY ALL"
    ) == [("in-slack", of_service), ("in-window", ["language:go", "tier:1", "a:1", "language:sql"])]


def test_the_env_that_most_failures_name_is_proposed_for_those_that_name_none(home: TestHome) -> None:
    home.select_events()
    for hour in range(10, 14):
        home.deploy("shop", f"2024-05-06T{hour}:00:00", env="staging")
    home.deploy("shop", "2024-05-06T15:00:00", env="prod")
    home.fail(["shop"], "2024-05-06T16:00:00", id="none", env=None)

    def proposed() -> list[str]:
        results = {result.name: result for result in home.run(warns=True).warnings}
        return remedies(results["failures_with_env"])

    assert proposed() == ["dora.yaml, below sources: failure_event_api: {env: staging}"]
    home.fail(["shop"], "2024-05-06T17:00:00", id="named", env="prod")
    assert proposed() == ["dora.yaml, below sources: failure_event_api: {env: prod}"]


def test_failures_without_an_env_or_a_link_are_told_with_what_to_do(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T10:00:00")
    home.fail(["shop"], "2024-05-06T11:00:00", id="none", env=None)
    home.fail(["shop"], "2024-05-06T12:00:00", id="several", env=None, custom_tags=["env:prod", "env:qa"])
    home.fail(["ghost", "spirit"], "2024-05-06T11:00:00", id="ghost", env=None)
    home.fail(["shop"], "2024-05-06T09:00:00", id="early")

    def lines() -> dict[str, str]:
        return {
            told.name: told.sentence for told in home.run(warns=True).warnings if told.table in (Failures, FailureLinks)
        }

    told = lines()
    assert told["failures_linked"] == (
        "failures that are linked to no deployment (3): unknown_service (2, 40%, all days), "
        "no_deployment (1, 20%, all days)"
    )
    assert told["failures_with_env"] == (
        "services whose failures have no environment (3): shop (2 failures; set sources.failure_event_api.env), "
        "ghost (1 failure; set sources.failure_event_api.env), spirit (1 failure; set sources.failure_event_api.env)"
    )
    home.settings(unlinked_share=0.6, sources={"failure_event_api": {"env": "prod"}})
    told = lines()
    assert "failures_linked" not in told
    assert told["failures_with_env"].endswith(": shop (1 failure; set sources.failure_event_api.env)")
    assert home.rows("SELECT failure_id, env FROM core.failures WHERE service = 'shop' ORDER BY ALL") == [
        ("early", "prod"),
        ("none", "prod"),
        ("several", None),
    ]


def loaded(home: TestHome) -> dict[date, Any]:
    return dict(home.rows("SELECT day, loaded_at FROM landing.loads WHERE target = 'core.failure_links'"))


def run(home: TestHome) -> list[int]:
    """Run; the days of May whose links were loaded."""
    before = loaded(home)
    home.run()
    return sorted(day.day for day, at in loaded(home).items() if before.get(day) != at and day.month == 5)


def test_an_id_of_what_came_before_the_first_selection_names_nobody_else_of_its_second(home: TestHome) -> None:
    home.select_events(at=moment("2024-05-06 07:00:00"))
    home.deploy("shop", "2024-05-06T04:45:00.4", id="too-early", env="production")
    home.deploy("shop", "2024-05-07T04:00:00", id="counts", env="production", started_at="2024-05-06T04:45:00Z")
    home.deploy("shop", "2024-05-07T05:00:00", id="marked", env="production", change_failure=True)
    with EventStore.at(home.home) as store:
        store.update("deployment", "marked", {"remediation": {"id": "too-early", "type": "rollback"}})
    home.fail([], "2024-05-07T06:00:00", id="named", team="red", custom_tags=["deployment_id:too-early"])
    home.run()
    assert home.rows("SELECT deployment_id FROM core.deployments ORDER BY 1") == [("counts",), ("marked",)]
    assert linked(home) == {"named": "no_service"}
    remediations = home.rows("SELECT deployment_id, remediation_id, recovery_seconds FROM core.failed_changes")
    assert remediations == [("marked", "too-early", None)]


def linked(home: TestHome) -> dict[str, str | None]:
    """What each failure is linked to, or why to nothing."""
    return {failure: found[0] or found[2] for (failure, _), found in found_links(home).items()}


def test_what_changes_links_anew_only_what_it_concerns_and_ends_as_a_rebuild(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-05T10:00:00", id="first", version="1")
    for name, day in (("f06", "06"), ("f08", "08"), ("f20", "20")):
        home.fail(["shop"], f"2024-05-{day}T10:00:00", id=name)
    home.fail(["ghost"], "2024-05-10T10:00:00", id="f10")
    home.fail([], "2024-05-11T10:00:00", id="f11", team="red")
    home.fail([], "2024-05-11T11:00:00", id="g11", team="blue")
    home.fail(["other"], "2024-05-12T10:00:00", id="f12", custom_tags=["deployment_id:late"])
    home.run()
    kept = {"f06": "first", "f08": "first", "f20": "too_long_ago", "f10": "unknown_service"}
    kept |= {"f11": "no_service", "g11": "no_service", "f12": "unknown_service"}
    assert linked(home) == kept

    # A deployment that comes late: its own day, the failures after it, and the one that names it. A failure that comes
    # late, and one that is resolved.
    home.deploy("shop", "2024-05-07T10:00:00", id="late", version="2", received="2024-05-30 00:00:00")
    home.fail(["shop"], "2024-05-09T10:00:00", id="f09", received="2024-05-30 00:00:00")
    home.fail(["shop"], "2024-05-20T10:00:00", "2024-05-20T11:00:00", id="f20")
    assert run(home) == [7, 8, 9, 12, 20]
    kept |= {"f08": "late", "f09": "late", "f12": "late"}
    assert linked(home) == kept

    # A deployment that was taken back, a failure that is open again.
    with EventStore.at(home.home) as store:
        store.delete("deployment", "late", received_at=moment("2024-05-30 00:00:00"))
        store.update("failure", "f20", {"finished_at": None}, received_at=moment("2024-05-30 00:00:00"))
    assert run(home) == [7, 8, 9, 12, 20]
    kept |= {"f08": "first", "f09": "first", "f12": "unknown_service"}
    assert linked(home) == kept

    # A catalog: a service is known by it, and deployments have a team.
    define(home, ghost="blue", shop="blue")
    assert set(run(home)) >= {10, 11}
    kept |= {"f10": "no_deployment", "g11": "first"}
    assert linked(home) == kept
    define(home, ghost="blue", shop="red")
    run(home)
    kept |= {"f11": "first", "g11": "no_service"}
    assert linked(home) == kept

    # Other settings.
    home.settings(link_window="1d", link_slack="0s")
    assert run(home) == [8, 9, 11]
    kept |= dict.fromkeys(("f08", "f09", "f11"), "too_long_ago")
    assert linked(home) == kept

    # Another source: its deployment is a candidate, the others are none.
    home.select("deployment", *DEPLOYMENTS_BY_APM, at=moment("2024-05-01 00:00:00"))
    ready = {
        "service": "shop",
        "env": "prod",
        "started_at": "2024-05-08T09:00:00Z",
        "finished_at": "2024-05-08T09:00:00Z",
    }
    home.drop_export("ready.jsonl", [{"type": "dora_deployment", "id": "ready", "attributes": ready}])
    run(home)
    kept |= {"f06": "no_deployment", "f08": "apm:ready", "f11": "too_long_ago"}
    assert linked(home) == kept
    before = home.tables()
    home.run(rebuild=True)
    assert home.tables() == before
