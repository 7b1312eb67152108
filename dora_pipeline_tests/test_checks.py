"""Checks of what was told and loaded: each warns of its fault, names examples, and is quiet otherwise."""

import shlex
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dora_pipeline.pipeline.check_results import check_descriptions, check_results
from dora_pipeline.pipeline.expectation import CheckResult
from dora_pipeline.pipeline.remedies import remedies
from dora_pipeline.settings import read_settings
from dora_pipeline.tables import (
    TABLES,
    Daily,
    DeploymentCommits,
    Deployments,
    Failures,
    RejectedEvents,
    SourceSelections,
    Table,
)
from dora_pipeline.warehouse.reader import open_reader
from dora_pipeline.warehouse.writer import open_writer
from dora_pipeline_tests.command import call
from dora_pipeline_tests.deliveries import deliver, message
from dora_pipeline_tests.full_homes import FIRST_DAY, fill
from dora_pipeline_tests.git_histories import History
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.vendors.pagerduty import reference

DAY = "2024-05-06"
SERVICES = """\
apiVersion: v3
kind: service
metadata: {name: shop, owner: sales}
"""


def results(home: TestHome, table: type[Table]) -> dict[str, CheckResult]:
    """The results of the checks of a table, by name, as people see them in the published warehouse."""
    with open_reader(home.home) as connection:
        return {result.name: result for result in check_results(connection, table, read_settings(home.home))}


def ago(**duration: float) -> str:
    """A moment so long before now."""
    return f"{datetime.now(UTC) - timedelta(**duration):%Y-%m-%d %H:%M:%S}"


def columns(result: CheckResult, *names: str) -> list[tuple[Any, ...]]:
    """Columns of the examples."""
    return [tuple(row[name] for name in names) for row in result.examples]


def add_catalog(home: TestHome) -> None:
    """A catalog that knows one service, shop."""
    home.home.services.mkdir()
    (home.home.services / "one.yaml").write_text(SERVICES, encoding="utf-8")


def test_every_check_says_what_to_do() -> None:
    checks = [text for table in TABLES for text in check_descriptions(table).values()]
    assert len(checks) >= 22
    assert [text for text in checks if "If it fails: " not in text and "If it warns: " not in text] == []


def test_a_home_with_everything_in_order_passes_every_check(home: TestHome) -> None:
    add_catalog(home)
    home.settings(environments={"prod": []}, repositories={"github.com/o/shop": str(home.home.path / "shop.git")})
    home.select_events()
    history = History()
    first = history.commit(committed=0)
    second = history.commit(first, committed=3600)
    shas = history.write(home.home.path / "shop.git", {"main": second})
    for day, commit in ((2, first), (1, second)):
        git = {"repository_url": "https://github.com/o/shop", "commit_sha": shas[commit]}
        home.deploy("shop", ago(days=day), git=git)
    home.fail(["shop"], ago(days=1, minutes=5), ago(days=1))
    home.run()
    for table in (SourceSelections, Deployments, DeploymentCommits, Failures, RejectedEvents, Daily):
        told = results(home, table)
        assert told.keys() == check_descriptions(table).keys()
        assert {name: result.examples for name, result in told.items() if not result.passed} == {}


# Sources


def test_a_source_that_told_nothing_for_too_long_is_named(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", ago(days=8))
    home.fail(["shop"], ago(days=6))
    home.run()
    late = results(home, Deployments)["sources_fresh"]
    assert (late.passed, late.wrong, late.is_warning) == (False, 1, True)
    assert columns(late, "source", "finding") == [("deployment_event_api", "nothing came for too long")]
    assert late.examples[0]["newest_event_at"]
    assert results(home, Failures)["sources_fresh"].passed
    home.settings(sources_stale_after="9d")
    assert results(home, Deployments)["sources_fresh"].passed


def test_a_source_that_never_told_anything_counts_from_its_selection(home: TestHome) -> None:
    home.select("deployment", "deployment_event_api", at=datetime.now(UTC) - timedelta(days=6))
    home.select("failure", "failure_event_api", at=datetime.now(UTC) - timedelta(days=8))
    home.run()
    assert results(home, Deployments)["sources_fresh"].passed
    assert columns(results(home, Failures)["sources_fresh"], "source", "finding") == [
        ("failure_event_api", "nothing came since it was selected")
    ]


def test_sightings_without_new_versions_keep_a_source_fresh(home: TestHome) -> None:
    home.select("deployment", "apm_deployment_tracking")
    seen = [ago(days=days).replace(" ", "T") + "Z" for days in (10, 1)]
    home.drop_export("one.jsonl", [{"timestamp": at, "service": "s", "env": "e", "version": "1"} for at in seen])
    home.run()
    assert results(home, Deployments)["sources_fresh"].passed


def test_a_source_that_could_not_be_read_is_named_with_its_error(home: TestHome) -> None:
    home.select("failure", "pagerduty", at=datetime.now(UTC) - timedelta(days=1))
    with pytest.raises(Exception, match="PAGERDUTY_API_TOKEN"):
        home.run()
    (example,) = results(home, Failures)["sources_fresh"].examples
    assert example["source"] == "pagerduty"
    assert "PAGERDUTY_API_TOKEN" in str(example["finding"])


def test_a_source_that_is_not_selected_now_may_be_late(home: TestHome) -> None:
    home.select("deployment", "deployment_event_api")
    home.deploy("shop", "2024-05-06 10:00:00")
    home.select("deployment", "apm_deployment_tracking", at=datetime.now(UTC) - timedelta(days=1))
    home.run()
    assert results(home, Deployments)["sources_fresh"].passed


def test_a_source_all_of_which_is_older_than_its_first_selection_is_named(home: TestHome) -> None:
    home.select("deployment", "apm_deployment_tracking", at=datetime.now(UTC) - timedelta(hours=1))
    seen = ago(days=1).replace(" ", "T") + "Z"
    home.drop_export("one.jsonl", [{"timestamp": seen, "service": "s", "env": "e", "version": "1"}])
    home.run()
    assert home.rows("SELECT COUNT(*) FROM core.deployments") == [(0,)]
    assert columns(results(home, Deployments)["sources_fresh"], "source", "finding") == [
        ("apm_deployment_tracking", "all that came is older than its first selection")
    ]


def test_rejected_sightings_are_a_share_of_sightings_and_each_is_counted_once(home: TestHome) -> None:
    home.select("deployment", "apm_deployment_tracking")
    at = f"{DAY}T10:00:00Z"
    good = {"timestamp": at, "service": "s", "env": "e", "version": "1", "hits": 98_500}
    home.drop_export("one.jsonl", [good, *[{"timestamp": at}] * 1_500])
    home.run()
    told = results(home, RejectedEvents)["rejected_share"]
    assert (told.passed, told.wrong) == (True, 0)
    home.settings(rejected_share=0.01)
    told = results(home, RejectedEvents)["rejected_share"]
    assert (told.passed, told.wrong) == (False, 1_500)
    assert columns(told, "rejected", "events", "period") == [(1_500, 98_500, "all days")]
    (line,) = (line for line in call(home.home.path, "check").out.splitlines() if line.startswith("  write: dora sql"))
    shown = call(home.home.path, *shlex.split(line.removeprefix("  write: dora "))).out
    assert shown.count('{"file": "one.jsonl", "line": ') == 5
    assert home.rows("SELECT COUNT(*), SUM(records) FROM core.rejected_events") == [(1_001, 1_500)]


def test_the_share_of_rejects_is_that_of_their_source_whatever_their_reasons(home: TestHome) -> None:
    home.select("deployment", "apm_deployment_tracking")
    good = {"timestamp": f"{DAY}T10:00:00Z", "service": "s", "env": "e", "version": "1", "hits": 100}
    bad = [{**good, "service": None}] * 6 + [{**good, "version": None}] * 4
    home.drop_export("one.jsonl", [good, *bad])
    home.run()
    home.settings(rejected_share=0.1)
    assert results(home, RejectedEvents)["rejected_share"].passed
    home.settings(rejected_share=0.09)
    told = results(home, RejectedEvents)["rejected_share"]
    # Of 110 records 10 are rejected, for two reasons.
    assert (told.passed, told.wrong) == (False, 10)
    assert "(6, 5.5%, all days)" in told.line


def test_inferred_deployments_of_one_second_are_a_share_of_those_inferred_however_many_sightings_there_are(
    home: TestHome,
) -> None:
    home.select("deployment", "apm_deployment_tracking")
    seen = {"service": "s", "hits": 1_000}
    home.drop_export(
        "one.jsonl",
        [
            {**seen, "timestamp": f"{DAY}T1{number}:00:00Z", "env": env, "version": str(number)}
            for number in range(2)
            for env in ("dev", "prod")
        ],
    )
    home.run()
    told = results(home, RejectedEvents)["rejected_share"]
    assert "apm_deployment_tracking same_second (2, 50.0%, all days)" in told.line
    assert "export one environment, or shorter buckets" in told.advice


# Services and environments


def test_services_that_the_catalog_does_not_know_are_named(home: TestHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAGERDUTY_API_TOKEN", raising=False)
    home.select("deployment", "deployment_event_api")
    home.select("failure", "failure_event_api", "pagerduty")
    deliver(home, message("incident.triggered", 0, service=reference("service", "PSEARCH", "Search API")))
    home.deploy("shop", f"{DAY} 10:00:00")
    home.deploy("cart", f"{DAY} 11:00:00")
    home.deploy("cart", f"{DAY} 12:00:00")
    home.deploy("till", "2024-05-07 12:00:00")
    home.fail(["shop", "pay"], f"{DAY} 12:00:00")
    home.fail([], f"{DAY} 13:00:00", team="sales")
    home.run()
    assert results(home, Deployments)["services_known"].passed
    add_catalog(home)
    home.run()
    unknown = results(home, Deployments)["services_known"]
    assert (unknown.wrong, unknown.is_warning) == (2, True)
    assert columns(unknown, "service", "events") == [("cart", 2), ("till", 1)]
    unknown = results(home, Failures)["services_known"]
    assert columns(unknown, "service", "events") == [("Search API", 1), ("pay", 1)]
    assert [line.partition(" in services/: ")[::2] for line in remedies(unknown)] == [
        (
            "in the file of its service",
            "integrations: {pagerduty: {service-url: https://….pagerduty.com/service-directory/…}}, or a file in "
            'services/: {schema-version: v2.2, dd-service: "Search API", team: …}',
        ),
        ("a file", "{schema-version: v2.2, dd-service: pay, team: …}"),
    ]


def test_environments_that_no_setting_names_are_told_where_settings_name_any(home: TestHome) -> None:
    home.select_events()
    for hour, env in enumerate(("prod", "Production", "staging", "staging", None)):
        home.deploy("shop", f"{DAY} {hour:02}:00:00", env=env)
    home.fail(["shop"], f"{DAY} 12:00:00", env="prodd")
    home.run()
    assert results(home, Deployments)["environments_known"].passed
    home.settings(environments={"production": ["prod", "Production"]})
    home.run()
    unknown = results(home, Deployments)["environments_known"]
    assert (unknown.wrong, unknown.is_warning) == (1, True)
    assert columns(unknown, "env", "events", "service") == [("staging", 2, "shop")]
    assert "staging (2 events)" in unknown.line
    assert "prodd (1 event; did you mean 'prod'?)" in results(home, Failures)["environments_known"].line


def test_environments_that_look_like_one_are_named_with_the_setting_where_settings_name_none(home: TestHome) -> None:
    home.select_events()
    for hour, env in enumerate(("prod", "prod", "prod", "staging", "qa", "prod-eu", "pre-prod", None)):
        home.deploy("shop", f"{DAY} {hour:02}:00:00", env=env)
    home.run()
    assert results(home, Daily)["environments_apart"].passed
    # Names of failures and of deployments are looked at together.
    for hour, env in enumerate(("production", "Stage", "Prod EU", "production")):
        home.fail(["shop"], f"{DAY} {hour:02}:00:00", env=env)
    home.run()
    apart = results(home, Daily)["environments_apart"]
    assert (apart.wrong, apart.is_warning) == (3, True)
    assert columns(apart, "envs", "setting") == [
        ("prod and production", 'environments: {"prod": ["production"]}'),
        ("Prod EU and prod-eu", 'environments: {"Prod EU": ["prod-eu"]}'),
        ("Stage and staging", 'environments: {"Stage": ["staging"]}'),
    ]
    home.settings(environments={"prod": [], "production": [], "staging": ["Stage"]})
    home.run()
    assert results(home, Daily)["environments_apart"].passed


# Commits


def test_repositories_that_cannot_be_fetched_are_named_with_the_deployments_that_lack_their_commits(
    home: TestHome,
) -> None:
    names, nowhere = ("github.com/o/shop", "github.com/o/cart"), home.home.path / "nowhere.git"
    home.settings(repositories={name: str(nowhere) for name in names})
    home.select_events()
    for hour, name in enumerate((names[0], names[0], names[1], names[1])):
        git = {"repository_url": f"https://{name}", "commit_sha": f"{hour}" * 40}
        home.deploy(name[-4:], f"{DAY} {hour:02}:00:00", git=git)
    home.run()
    assert results(home, Deployments)["commits_known"].sentence == (
        "deployments that lack their commits (2): "
        "repository_missing of github.com/o/cart and 1 other (2, 50%, all days); "
        f"github.com/o/cart: cannot be fetched from {nowhere}: there is no repository at this address, or none that "
        "this user may see; check the address under `repositories` in dora.yaml, and that the user who runs this may "
        f"read it (git: fatal: '{nowhere}' does not appear to be a git repository)"
    )
    history = History()
    history.write(nowhere, {"main": history.commit()})
    home.run()
    assert results(home, Deployments)["commits_known"].sentence == (
        "deployments that lack their commits (2): commit_missing of github.com/o/cart and 1 other (2, 50%, all days)"
    )


def test_the_share_of_deployments_without_commits_is_told_by_reason(home: TestHome) -> None:
    home.select_events()
    for hour in range(8):
        home.deploy(f"s{hour}", f"{DAY} {hour:02}:00:00", git={"commit_sha": f"{hour}" * 40})
    home.deploy("shop", f"{DAY} 20:00:00")
    home.deploy("cart", f"{DAY} 21:00:00")
    home.run()
    assert results(home, Deployments)["commits_known"].passed
    home.settings(missing_commits_share=0.19)
    told = results(home, Deployments)["commits_known"]
    assert (told.passed, told.wrong, told.is_warning) == (False, 2, True)
    assert columns(told, "reason", "is_lacking", "deployments", "share") == [
        ("no_commit", True, 2, 0.2),
    ]


def test_commits_that_are_younger_than_their_deployment_are_told_by_service(home: TestHome) -> None:
    home.settings(repositories={"github.com/o/shop": str(home.home.path / "shop.git")})
    home.select_events()
    history = History()
    first = history.commit(committed=0)
    newest = first
    # 6 May is 126 days after 1 January 2024; the last two commits are of its evening.
    for hour in (1, 2, 22, 23):
        newest = history.commit(newest, committed=126 * 86400 + hour * 3600)
    shas = history.write(home.home.path / "shop.git", {"main": newest})
    for finished, commit in (("2024-05-05 12:00:00", first), (f"{DAY} 12:00:00", newest)):
        git = {"repository_url": "https://github.com/o/shop", "commit_sha": shas[commit]}
        home.deploy("shop", finished, git=git)
    home.run()
    told = results(home, DeploymentCommits)["lead_times_not_negative"]
    assert (told.passed, told.is_warning) == (False, True)
    assert columns(told, "service", "commits", "negative", "share", "least_seconds") == [
        ("shop", 4, 2, 0.5, -11 * 3600.0)
    ]


# Clocks and open failures


def test_a_deployment_that_took_some_time_and_came_without_a_receipt_says_nothing_of_clocks(home: TestHome) -> None:
    home.select("deployment", "apm_deployment_tracking")
    took = {"started_at": f"{DAY}T09:00:00Z", "finished_at": f"{DAY}T09:15:00Z"}
    home.drop_export(
        "one.jsonl",
        [
            {
                "type": "dora_deployment",
                "id": "one",
                "attributes": {"service": "shop", "env": "prod", "version": "1"} | took,
            }
        ],
    )
    home.run()
    assert home.rows("SELECT COUNT(*) FROM core.deployments") == [(1,)]
    assert results(home, Deployments)["clocks_agree"].passed


def test_events_that_were_told_before_they_happened_are_named(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", f"{DAY} 10:00:59", received=f"{DAY} 10:00:00")
    home.fail(["shop"], f"{DAY} 10:00:59", f"{DAY} 10:04:00", received=f"{DAY} 10:00:00")
    home.run()
    assert results(home, Deployments)["clocks_agree"].passed
    assert results(home, Failures)["clocks_agree"].passed
    began = f"{DAY}T10:50:00Z"
    home.deploy("cart", f"{DAY} 11:01:30", received=f"{DAY} 11:00:00", started_at=began)
    home.deploy("cart", f"{DAY} 12:04:00", received=f"{DAY} 12:00:00")
    home.fail(["cart"], f"{DAY} 11:02:00", received=f"{DAY} 11:00:00")
    home.run()
    early = results(home, Deployments)["clocks_agree"]
    assert (early.wrong, early.is_warning) == (1, True)
    assert columns(early, "source", "service", "events", "most_seconds_early") == [
        ("deployment_event_api", "cart", 2, 240.0)
    ]
    assert columns(results(home, Failures)["clocks_agree"], "service", "most_seconds_early") == [("cart", 120.0)]


def test_failures_that_are_open_for_more_than_30_days_are_named(home: TestHome) -> None:
    home.select_events()
    forgotten = home.fail(["shop"], ago(days=31), name="forgotten")
    home.fail(["shop"], ago(days=29))
    home.fail(["shop"], ago(days=60), ago(days=1))
    home.run()
    told = results(home, Failures)["nothing_open_for_long"]
    assert (told.wrong, told.is_warning) == (1, True)
    ((failure_id, name, days),) = columns(told, "failure_id", "name", "open_days")
    assert forgotten in failure_id
    assert name == "forgotten"
    assert 31 <= days < 31.01


def test_open_failures_of_a_source_that_is_not_selected_now_are_left_alone(home: TestHome) -> None:
    home.select("failure", "failure_event_api")
    home.fail(["shop"], "2024-05-06 10:00:00")
    home.run()
    assert not results(home, Failures)["nothing_open_for_long"].passed
    home.select("failure", "datadog_incidents", at=datetime.now(UTC) - timedelta(days=1))
    home.settings(datadog={"api_url": "http://127.0.0.1:1"})
    with pytest.raises(Exception, match="datadog_incidents"):
        home.run()
    assert results(home, Failures)["nothing_open_for_long"].passed


# What the pipeline made


def test_counts_that_differ_from_a_recount_and_repeated_keys_are_faults(home: TestHome) -> None:
    fill(home)
    home.run()
    assert all(result.passed for result in results(home, Daily).values())
    settings = read_settings(home.home)
    with open_writer(home.home, settings, "test") as writer:
        writer.connection.execute("INSERT INTO metrics.daily SELECT * FROM metrics.daily WHERE day = ?", [FIRST_DAY])
        told = {result.name: result for result in check_results(writer.connection, Daily, settings)}
    assert {name: (result.passed, result.is_warning) for name, result in told.items()} == {
        "keys_unique": (False, False),
        "rates_equal_recount": (False, False),
        "days_loaded": (True, True),
        "environments_apart": (True, True),
    }
    assert str(FIRST_DAY) in told["rates_equal_recount"].line


def test_a_check_shows_at_most_ten_examples_and_counts_all(home: TestHome) -> None:
    home.settings(environments={"production": ["prod"]})
    home.select_events()
    for number in range(12):
        home.deploy("shop", f"{DAY} 10:00:{number:02}", env=f"env-{number:02}")
    home.run()
    told = results(home, Deployments)["environments_known"]
    assert told.wrong == 12
    assert len(told.examples) == 10


# The whole warehouse


def test_a_run_of_a_quiet_day_turns_nothing_green(home: TestHome) -> None:
    home.select_events()
    for hour in range(4):
        git = {"repository_url": "https://github.com/o/shop", "commit_sha": f"{hour}" * 40} if hour % 2 else {}
        home.deploy(f"shop{hour % 2}", f"{DAY} {hour:02}:00:00", **({"git": git} if git else {}))
    home.run()
    for _ in range(2):
        told = results(home, Deployments)
        # Two without a commit; of the two with one, one is the first of its service.
        assert (told["commits_known"].passed, told["commits_known"].wrong) == (False, 3)
        assert columns(told["repositories_configured"], "repository_id", "deployments") == [("github.com/o/shop", 1)]
        home.run("2024-06-01")


def test_what_broke_lately_is_not_hidden_by_years_in_order(home: TestHome) -> None:
    home.select_events()
    home.settings(repositories={"github.com/o/shop": str(home.home.path / "shop.git")}, missing_commits_share=0.2)
    history = History()
    commits = [history.commit(committed=0)]
    for hour in range(1, 40):
        commits.append(history.commit(commits[-1], committed=hour * 3600))
    shas = history.write(home.home.path / "shop.git", {"main": commits[-1]})
    for number, commit in enumerate(commits):
        git = {"repository_url": "https://github.com/o/shop", "commit_sha": shas[commit]}
        home.deploy("shop", f"2024-03-{number // 24 + 1:02}T{number % 24:02}:00:00".replace("T", " "), git=git)
        home.fail(
            ["shop"], f"2024-03-{number // 24 + 1:02} {number % 24:02}:00:00", f"2024-03-03 {number % 24:02}:00:00"
        )
    home.deploy("shop", ago(days=2))
    for finished in ("2024-03-06 10:00:00", ago(days=1)):
        home.deploy("shop", finished, git={"commit_sha": "no sha"})
    home.run()
    lacking = results(home, Deployments)["commits_known"]
    assert (lacking.passed, lacking.wrong) == (False, 1)
    assert columns(lacking, "period", "reason", "deployments") == [("last 30 days", "no_commit", 1)]
    rejected = results(home, RejectedEvents)["rejected_share"]
    assert columns(rejected, "period", "reason", "rejected", "events") == [("last 30 days", "field_type", 1, 1)]
    assert "rejected events (1): " in rejected.line
    assert "; 2 in all [" in rejected.line


def test_an_event_type_without_a_selected_source_is_named(home: TestHome) -> None:
    home.select("deployment", "deployment_event_api")
    home.run()
    told = results(home, SourceSelections)["types_selected"]
    assert columns(told, "event_type") == [("failure",)]
    assert told.line == ("event types without a selected source (1): failures [core.source_selections types_selected]")


def test_days_that_changed_and_were_not_loaded_are_named(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", f"{DAY} 10:00:00")
    home.deploy("shop", "2024-05-08 10:00:00")
    home.run(DAY)
    told = results(home, Daily)
    assert columns(told["days_loaded"], "day", "tables") == [("2024-05-08", "core.deployments")]
    assert told["rates_equal_recount"].passed
    home.run()
    assert results(home, Daily)["days_loaded"].passed


# The command


def test_the_check_tells_the_worst_first_with_what_to_do(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", ago(days=1), git={"repository_url": "https://github.com/o/shop", "commit_sha": "a" * 40})
    home.fail(["shop"], ago(days=1), ago(hours=1))
    home.run()
    well = call(home.home.path, "check")
    assert well.code == 0
    assert well.out.startswith("warning: ")
    assert "  what to do: add it to repositories in dora.yaml" in well.out
    assert well.err == ""
    strict = call(home.home.path, "check", "--strict")
    assert (strict.code, strict.out) == (1, well.out)
    assert strict.err.startswith("dora: the warehouse does not pass: core.deployments ")
    settings = read_settings(home.home)
    with open_writer(home.home, settings, "test") as writer:
        writer.connection.execute("UPDATE metrics.daily SET deployments = deployments + 1")
        writer.publish()
    bad = call(home.home.path, "check")
    assert bad.code == 1
    assert bad.out.startswith("error: days whose figures differ from a recount (")
    assert bad.err == "dora: the warehouse does not pass: metrics.daily rates_equal_recount\n"


def test_the_check_of_a_home_without_a_warehouse_says_what_makes_it(home: TestHome) -> None:
    answer = call(home.home.path, "check")
    assert answer.code == 1
    assert "`dora select deployments SOURCE…` says" in answer.err
    assert "`dora select failures SOURCE…` says" in answer.err
    assert "`dora run` makes it" in answer.err
    home.select_events()
    assert "there is no warehouse yet; `dora run` makes it\n" in call(home.home.path, "check").err
    # A definition that would end the run is told before it.
    home.home.services.mkdir()
    (home.home.services / "shop.yaml").write_text("schema-version: v2.2\ndd-servce: shop\n")
    assert "shop.yaml, document 1: dd-service: is missing" in call(home.home.path, "check").err


def test_the_check_of_a_new_home_names_the_lines_to_write_and_they_mend_it(home: TestHome) -> None:
    home.settings(environments={"production": ["prod"]})
    add_catalog(home)
    home.select("deployment", "deployment_event_api", "apm_deployment_tracking", at=datetime(2026, 1, 1, tzinfo=UTC))
    home.deploy("till", "2026-01-05 10:00:00", git={"repository_url": "https://github.com/o/x", "commit_sha": "a" * 40})
    home.deploy("till", "2026-01-06 10:00:00", env="Production", version="2")
    home.fail(["till"], "2026-01-06 11:00:00", env=None)
    home.run()

    def written() -> list[str]:
        lines = call(home.home.path, "check").out.splitlines()
        return [line.removeprefix("  write: ") for line in lines if line.startswith("  write: ")]

    selection, *others = written()
    assert selection == (
        "dora select failures failure_event_api --at 2026-01-01T00:00:00Z (in its place, or beside it: "
        "datadog_incidents, pagerduty, statuspage)"
    )
    assert call(home.home.path, *selection.partition(" (")[0].split()[1:]).code == 0
    catalog, environment, repository = (
        next(line.removeprefix(start) for line in others if line.startswith(start))
        for start in ("a file in services/: ", "dora.yaml, below environments: ", "dora.yaml, below repositories: ")
    )
    assert catalog == "{schema-version: v2.2, dd-service: till, team: …}"
    assert (environment, repository) == (
        '"production": ["prod", "Production"]',
        "github.com/o/x: https://github.com/o/x.git",
    )
    (home.home.services / "till.yaml").write_text(catalog)
    home.home.settings_file.write_text(f"environments:\n  {environment}\nrepositories:\n  {repository}\n")
    with pytest.MonkeyPatch.context() as without_network:
        without_network.setenv("GIT_ALLOW_PROTOCOL", "none")
        home.run()
    others = written()
    assert "dora.yaml, below sources: failure_event_api: {env: production}" in others
    assert [
        line for line in others if line.startswith(("dora select", "dora.yaml, below env", "dora.yaml, below rep"))
    ] == []
    assert any(line.startswith("a line of a file exports/apm/….jsonl: {") for line in others)
    assert not any(
        line.startswith("a file in services/: {schema-version: v2.2, dd-service: till, team") for line in others
    )


def test_a_run_ends_with_the_warnings_that_hold_a_line_each(home: TestHome) -> None:
    home.settings(environments={"production": ["prod"]})
    add_catalog(home)
    home.select("deployment", "deployment_event_api")
    for number in range(5):
        git = {"repository_url": "https://github.com/o/shop", "commit_sha": f"{number}" * 40}
        home.deploy("shop\n2", ago(days=10, minutes=number), env="qa", git=git)
    first, second = call(home.home.path, "run"), call(home.home.path, "run")
    assert (first.code, second.code) == (0, 0)
    assert second.out.startswith("no deployment or failure has changed")
    for answer in (first, second):
        assert answer.err.splitlines() == [
            "warning: event types without a selected source (1): failures [core.source_selections types_selected]",
            "warning: sources without news (1): deployment_event_api (nothing came for too long) "
            "[core.deployments sources_fresh]",
            "warning: services that the catalog does not know (1): shop\ufffd2 (5 events; did you mean 'shop'?) "
            "[core.deployments services_known]",
            "warning: environments that the settings do not know (1): qa (5 events) "
            "[core.deployments environments_known]",
            "warning: repositories that are not configured (1): github.com/o/shop (4 deployments without a lead time) "
            "[core.deployments repositories_configured]",
            "warning: deployments that lack their commits (4): repository_not_configured (4, 80%, all days) "
            "[core.deployments commits_known]",
            "`dora check` says what to do",
        ]
