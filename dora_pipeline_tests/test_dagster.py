"""The Dagster door: the same tables as `dora run`, by partitions, with checks and metadata."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance

from dora_pipeline.assets.jobs import select_sources
from dora_pipeline.assets.lineage import SOURCES
from dora_pipeline.assets.partitions import daily_partitions
from dora_pipeline.assets.run_errors import failure_of
from dora_pipeline.assets.tables import table_assets
from dora_pipeline.config import project_folder
from dora_pipeline.definitions import definitions
from dora_pipeline.errors import (
    ConfigError,
    DoraError,
    SourceRejected,
    SourceUnavailable,
    StorageUnavailable,
    WarehouseBusy,
    WarehouseError,
)
from dora_pipeline.sources.registry import SOURCES as DECLARED
from dora_pipeline.sources.registry import sources_of
from dora_pipeline.tables import TABLES
from dora_pipeline_tests.dagster_runs import days_run, statuses
from dora_pipeline_tests.homes import TestHome


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    """An instance of Dagster in memory."""
    with DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def filled(home: TestHome, monkeypatch: pytest.MonkeyPatch) -> TestHome:
    """A home with two deployments, one with a collision, and a failure, and DORA_HOME pointing to it."""
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00", version="1")
    home.deploy("shop", "2024-05-07 10:00:00", version="2")
    home.deploy("shop", "2024-05-07 10:00:00", version="2", env="staging", received="2024-05-07 11:00:00")
    home.fail(["shop"], "2024-05-07 12:00:00", "2024-05-08 12:00:00")
    return home


def validation(home: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """What `dagster definitions validate` says where nothing but DORA_HOME is set."""
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-m", "dora_pipeline.definitions"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(project_folder()),
        "DORA_HOME": str(home),
    }
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_definitions_load_with_an_empty_environment(tmp_path: Path) -> None:
    result = validation(tmp_path / "nothing", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "All code locations passed validation" in result.stderr + result.stdout
    assert not (tmp_path / "nothing").exists()


def test_settings_that_are_wrong_are_a_load_error_of_one_sentence(home: TestHome, tmp_path: Path) -> None:
    home.settings(timezone="Mars/Olympus")
    result = validation(home.home.path, tmp_path)
    assert result.returncode != 0
    expected = (
        f"{home.home.settings_file}: timezone: 'Mars/Olympus' is not an IANA time zone such as Europe/Berlin; "
        "then reload the code location"
    )
    assert expected in result.stderr + result.stdout
    assert "ValidationError" not in result.stderr + result.stdout


def test_a_home_that_is_a_file_is_a_load_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(dg.DagsterInvalidDefinitionError, match=r"file.*reload the code location"):
        definitions(TestHome(tmp_path).home.__class__(tmp_path / "file"))


def test_assets_have_the_names_of_their_tables(home: TestHome) -> None:
    keys = {key.to_user_string() for assets in table_assets(daily_partitions(home.home)) for key in assets.keys}
    assert keys == {
        "core/source_selections",
        "core/services",
        "core/apm_version_activity",
        "core/deployments",
        "core/deployment_commits",
        "core/failures",
        "core/failure_links",
        "core/failed_changes",
        "core/rejected_events",
        "metrics/daily",
        "landing/source_states",
    }
    assert keys <= {table.table_name.replace(".", "/") for table in TABLES}


def test_lineage_leads_from_every_source_to_the_metrics(home: TestHome) -> None:
    graph = definitions(home.home).resolve_asset_graph()
    for source in (*DECLARED, "repositories", "home"):
        reached, found = {dg.AssetKey(["sources", source])}, True
        while found:
            found = {child for key in reached for child in graph.get(key).child_keys} - reached
            reached |= found
        assert dg.AssetKey(["metrics", "daily"]) in reached, source
    assert {spec.group_name for spec in SOURCES} == {"sources"}


def test_every_asset_names_group_kinds_owners_columns_and_table(home: TestHome) -> None:
    for assets in table_assets(daily_partitions(home.home), ["team:platform"]):
        spec = next(iter(assets.specs))
        table = next(table for table in TABLES if table.table_name == ".".join(spec.key.path))
        assert spec.group_name in ("sources", "core", "metrics")
        assert {"duckdb", "polars"} <= spec.kinds
        assert spec.owners == ["team:platform"]
        assert spec.description
        assert spec.metadata["dagster/table_name"] == table.table_name
        schema = spec.metadata["dagster/column_schema"]
        assert [column.name for column in schema.columns] == list(table.columns())
        assert all(column.description for column in schema.columns)


def test_every_asset_has_a_layer_and_a_domain(home: TestHome) -> None:
    graph = definitions(home.home).resolve_asset_graph()
    tags = {key.to_user_string(): graph.get(key).tags for key in graph.get_all_asset_keys()}
    assert {key: each["layer"] for key, each in tags.items()} == {key: key.partition("/")[0] for key in tags}
    domains = {domain: {key for key in tags if tags[key]["domain"] == domain} for domain in ("failures", "dora")}
    assert domains["failures"] == {
        "core/failures",
        "core/failure_links",
        *(f"sources/{name}" for name in sources_of("failure")),
    }
    assert domains["dora"] == {"metrics/daily", "report/index"}


def test_everything_that_is_materialized_is_expected_to_be_fresh(home: TestHome) -> None:
    graph = definitions(home.home).resolve_asset_graph()
    made = graph.materializable_asset_keys
    assert {key.to_user_string() for key in made} >= {"core/services", "core/deployments", "report/index"}
    assert [key for key in made if graph.get(key).freshness_policy is None] == []


def test_owners_are_those_of_the_settings(home: TestHome) -> None:
    def owners() -> set[tuple[str, ...]]:
        graph = definitions(home.home).resolve_asset_graph()
        return {
            tuple(graph.get(key).owners)
            for key in (*graph.materializable_asset_keys, dg.AssetKey(["metrics", "freshness"]))
        }

    assert owners() == {()}
    home.settings(owners=["team:platform", "ada@example.com"])
    assert owners() == {("team:platform", "ada@example.com")}


def test_partitions_run_from_the_first_selection_to_today_in_the_zone(home: TestHome) -> None:
    home.settings(timezone="Europe/Berlin")
    home.select_events()
    partitions = daily_partitions(home.home)
    assert partitions.get_first_partition_key() == "2020-01-01"
    assert partitions.timezone == "Europe/Berlin"


def test_a_range_of_days_is_one_run_and_gives_the_tables_of_dora_run(
    filled: TestHome, instance: DagsterInstance
) -> None:
    assert days_run(filled, instance, "2024-05-06", "2024-05-08").success
    by_dagster = filled.tables()
    filled.home.warehouse.unlink()
    filled.run(rebuild=True)
    by_command = filled.tables()
    # It tells when and by which run the rest was published.
    del by_dagster["metrics.freshness"], by_command["metrics.freshness"]
    assert by_dagster == by_command
    assert by_dagster["core.deployments"]


def test_a_day_is_loaded_alone(filled: TestHome, instance: DagsterInstance) -> None:
    assert days_run(filled, instance, "2024-05-07").success
    assert filled.rows("SELECT version, day FROM core.deployments") == [("2", date(2024, 5, 7))]


def test_materializations_tell_rows_rejects_and_whether_people_see_them(
    filled: TestHome, instance: DagsterInstance
) -> None:
    result = days_run(filled, instance, "2024-05-06", "2024-05-08")
    told = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert told["core/deployments"]["dagster/row_count"].value == 2
    assert told["core/rejected_events"]["rejected"].value == 1
    assert told["core/deployments"]["published"].value is False
    assert told["metrics/daily"]["published"].value is True


def test_each_day_tells_its_rows_and_the_log_those_of_each_month(filled: TestHome, instance: DagsterInstance) -> None:
    result = days_run(filled, instance, "2024-04-30", "2024-05-07")
    rows = {
        event.partition: event.materialization.metadata["dagster/partition_row_count"].value
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(["core", "deployments"])
    }
    assert rows == dict.fromkeys([f"2024-05-0{day}" for day in range(1, 6)], 0) | {
        "2024-04-30": 0,
        "2024-05-06": 1,
        "2024-05-07": 1,
    }
    log = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert "core.deployments 2024-04: 1 days, 0 rows" in log
    assert "core.deployments 2024-05: 7 days, 2 rows" in log


def test_a_large_share_of_rejects_is_the_only_check_that_warns(filled: TestHome, instance: DagsterInstance) -> None:
    result = days_run(filled, instance, "2024-05-06", "2024-05-08")
    passed = {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}
    assert passed["keys_unique"] is True
    assert passed["nothing_before_first_selection"] is True
    assert passed["rates_equal_recount"] is True
    assert passed["rejected_share"] is False


def test_a_run_of_a_quiet_day_turns_no_check_green(filled: TestHome, instance: DagsterInstance) -> None:
    days_run(filled, instance, "2024-05-06", "2024-05-08")
    result = days_run(filled, instance, "2024-05-20")
    evaluations = {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}
    assert evaluations["rejected_share"].passed is False
    assert evaluations["rejected_share"].severity == dg.AssetCheckSeverity.WARN


def test_the_job_selects_sources(home: TestHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home.home.path.mkdir(exist_ok=True)
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    config = {
        "event_type": "failure",
        "sources": ["pagerduty", "failure_event_api"],
        "at": "2024-01-02T03:04:05Z",
    }
    result = select_sources.execute_in_process(
        run_config=dg.RunConfig(ops={"append_to_selection_log": {"config": config}})
    )
    assert result.success
    text = home.home.selection_log.read_text(encoding="utf-8")
    assert text.splitlines()[1:] == ["failure,2024-01-02T03:04:05Z,pagerduty;failure_event_api"]


def failed_steps(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """The steps that failed, and what the page shows of each."""
    return {
        event.step_key: str(event.step_failure_data.user_failure_data.description)
        for event in result.all_events
        if event.is_step_failure and event.step_key and event.step_failure_data.user_failure_data
    }


def test_a_source_that_cannot_be_read_fails_its_own_asset_and_days_are_loaded_from_the_others(
    filled: TestHome, instance: DagsterInstance
) -> None:
    filled.select("failure", "failure_event_api", "pagerduty", at=None)
    days = ["2024-05-06", "2024-05-07", "2024-05-08"]
    result = days_run(filled, instance, days[0], days[-1], job="refresh")
    assert not result.success
    assert failed_steps(result) == {
        "landing__source_states": "pagerduty: the environment variable PAGERDUTY_API_TOKEN is not set; "
        "it holds the secret of this source; its webhooks alone will do from the first one on"
    }
    assert statuses(filled, instance, "metrics/daily", days) == dict.fromkeys(days, "MATERIALIZED")
    assert any(
        "PAGERDUTY_API_TOKEN is not set" in entry.user_message and "days are loaded from" in entry.user_message
        for entry in instance.all_logs(days_run(filled, instance, days[0]).run_id)
    )
    assert filled.rows("SELECT COUNT(*) FROM core.failures") == [(1,)]
    assert filled.rows("SELECT error IS NOT NULL FROM landing.source_states WHERE source = 'pagerduty'") == [(True,)]


def test_a_home_that_became_wrong_fails_a_run_with_its_sentence_and_no_day_is_lost(
    filled: TestHome, instance: DagsterInstance
) -> None:
    assert days_run(filled, instance, "2024-05-07").success
    before = filled.tables()
    job = definitions(filled.home).resolve_job_def("load_days")
    filled.settings(merge_window="forever")
    result = job.execute_in_process(instance=instance, partition_key="2024-05-07", raise_on_error=False)
    told = set(failed_steps(result).values())
    shown = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    assert not [error for error in shown if error and (error.cause or error.context)]
    assert told == {
        f"{filled.home.settings_file}: merge_window: 'forever' is not a duration; write it as 90s, 10m, 1h or 7d"
    }
    assert filled.tables() == before
    filled.settings()
    assert statuses(filled, instance, "core/deployments", ["2024-05-07"]) == {"2024-05-07": "FAILED"}
    assert days_run(filled, instance, "2024-05-07").success
    assert statuses(filled, instance, "core/deployments", ["2024-05-07"]) == {"2024-05-07": "MATERIALIZED"}


@pytest.mark.parametrize(
    "error",
    [SourceUnavailable("pagerduty", "HTTP 503"), WarehouseBusy("held by dora run"), StorageUnavailable("gone")],
    ids=["source", "lock", "storage"],
)
def test_what_passes_is_tried_again_after_a_wait_and_then_fails_with_its_sentence(error: DoraError) -> None:
    retries = [failure_of(error, attempt) for attempt in range(2)]
    assert [retry.seconds_to_wait for retry in retries if isinstance(retry, dg.RetryRequested)] == [30, 60]
    last = failure_of(error, 2)
    assert isinstance(last, dg.Failure)
    assert last.description == str(error)


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("https://user:word@host/x is wrong"),
        SourceRejected("pagerduty", "HTTP 401 of https://user:word@host/x is wrong"),
        WarehouseError("the disk is full: https://user:word@host/x is wrong"),
    ],
    ids=["config", "source", "disk"],
)
def test_what_lasts_fails_at_once_with_a_sentence_without_credentials(error: DoraError) -> None:
    failure = failure_of(error, 0)
    assert isinstance(failure, dg.Failure)
    assert failure.allow_retries is False
    assert str(failure.description).endswith("https://host/x is wrong")
