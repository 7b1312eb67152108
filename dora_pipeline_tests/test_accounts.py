"""Every load accounts for itself: what does not add up is an error that names it, and is not published."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dora_pipeline.errors import ConfigError, WarehouseError
from dora_pipeline.warehouse import landing, queries, replacement
from dora_pipeline.warehouse.accounts import Discrepancy, discrepancies
from dora_pipeline.warehouse.emptiness import NOTHING_WITHOUT, finds_nothing
from dora_pipeline.warehouse.engines import engine
from dora_pipeline.warehouse.publication import working_file
from dora_pipeline_tests.command import call
from dora_pipeline_tests.dagster_runs import days_run
from dora_pipeline_tests.examples import examples
from dora_pipeline_tests.full_homes import copied, fill
from dora_pipeline_tests.homes import DEPLOYMENTS_BY_APM, DEPLOYMENTS_BY_EVENT, TestHome
from dora_pipeline_tests.vendors.datadog import API_KEY, APP_KEY, FakeDatadog

_EVENTS = "deployment_event_api"
_FAILURES = "failure_event_api"
_APM = "apm_deployment_tracking"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home after one run, with something of everything. Copy it."""
    home = TestHome(tmp_path_factory.mktemp("homes") / "loaded")
    fill(home)
    home.run()
    return home


@pytest.fixture
def mine(loaded: TestHome, request: pytest.FixtureRequest, tmp_path: Path) -> TestHome:
    """A loaded home of one's own."""
    return copied(loaded, tmp_path / "mine")


def spoil(home: TestHome, statement: str) -> None:
    """Change the working database as a fault of the program would."""
    with duckdb.connect(str(working_file(home.home))) as connection:
        connection.execute(statement)


def found(home: TestHome) -> list[Discrepancy]:
    """What does not add up in the working database."""
    with duckdb.connect(str(working_file(home.home)), read_only=True) as connection:
        return discrepancies(connection)


_SPOILED: dict[str, tuple[str, str]] = {
    "deployments lost": (
        "DELETE FROM core.deployments WHERE source = 'deployment_event_api' AND day = '2024-03-02'",
        "core.deployments: deployment_event_api: 3 deployments should be there, 0 are, on 2024-03-02",
    ),
    "a duplicate lost": (
        "DELETE FROM core.deployments WHERE duplicate_of IS NOT NULL AND day = '2024-03-05'",
        "core.deployments: apm_deployment_tracking: 3 deployments should be there, 2 are, on 2024-03-05",
    ),
    "a deployment twice": (
        "INSERT INTO core.deployments FROM core.deployments WHERE service = 'shop' AND source = 'deployment_event_api' "
        "AND day = '2024-03-03'",
        "core.deployments: deployment_event_api: 3 deployments should be there, 4 are, on 2024-03-03",
    ),
    "all judged deployments lost": (
        "DELETE FROM landing.judged_deployments WHERE source = 'deployment_event_api'",
        "landing.judged_deployments: deployment_event_api: 48 deployments should be there, 0 are, on 12 days from "
        "2024-03-01 on",
    ),
    "landed deployments lost": (
        "DELETE FROM landing.deployments WHERE source = 'deployment_event_api' AND service = 'shop' "
        "AND day = '2024-03-04'",
        "landing.judged_deployments: deployment_event_api: 3 deployments should be there, 4 are, on 2024-03-04",
    ),
    "a row of a failure lost": (
        "DELETE FROM core.failures WHERE service = 'api' AND day = '2024-03-04'",
        "core.failures: failure_event_api: 2 failures should be there, 1 are, on 2024-03-04",
    ),
    "a judged failure lost": (
        "DELETE FROM landing.judged_failures WHERE service = 'api' AND day = '2024-03-04'",
        "landing.judged_failures: failure_event_api: 2 failures should be there, 1 are, on 2024-03-04",
    ),
    "landed failures lost": (
        "DELETE FROM landing.failures WHERE day = '2024-03-04'",
        "landing.judged_failures: failure_event_api: 0 failures should be there, 2 are, on 2024-03-04",
    ),
    "a link lost": (
        "DELETE FROM core.failure_links WHERE service = 'api' AND day = '2024-03-04'",
        "core.failure_links: every source: 2 links should be there, 1 are, on 2024-03-04",
    ),
    "a failure that was never linked": (
        "DELETE FROM landing.failure_links WHERE service = 'api' AND day = '2024-03-04'",
        "landing.failure_links: every source: 2 links should be there, 1 are, on 2024-03-04",
    ),
    "rejected events lost": (
        "DELETE FROM core.rejected_events WHERE reason = 'same_second' AND day = '2024-03-01'",
        "core.rejected_events: deployment_event_api: 1 rejected events should be there, 0 are, on 2024-03-01",
    ),
    "sightings lost": (
        "DELETE FROM core.apm_version_activity WHERE service = 'web' AND day = '2024-03-01'",
        "core.apm_version_activity: apm_deployment_tracking: 15 sightings should be there, 6 are, on 2024-03-01",
    ),
    "a day of the metrics lost": (
        "DELETE FROM metrics.daily WHERE day = '2024-03-02'",
        "metrics.daily: apm_deployment_tracking, deployment_event_api: 5 deployments should be there, 0 are, on "
        "2024-03-02",
    ),
    "failures counted twice": (
        "UPDATE metrics.daily SET failures = 2 * failures WHERE service = 'web' AND day = '2024-03-06'",
        "metrics.daily: failure_event_api: 1 failures should be there, 2 are, on 2024-03-06",
    ),
    "a restore lost": (
        "UPDATE metrics.daily SET restores = 0 WHERE service = 'api' AND restores > 0 AND day = '2024-03-07'",
        "metrics.daily: failure_event_api: 2 restores should be there, 1 are, on 2024-03-07",
    ),
}


def test_a_load_of_everything_adds_up(loaded: TestHome) -> None:
    assert found(loaded) == []


@pytest.mark.parametrize("fault", _SPOILED)
def test_what_does_not_add_up_is_named_with_both_numbers_and_not_published(mine: TestHome, fault: str) -> None:
    statement, message = _SPOILED[fault]
    before = mine.home.warehouse.read_bytes()
    spoil(mine, statement)
    mine.deploy("shop", "2024-03-20 10:00:00")
    with pytest.raises(WarehouseError) as raised:
        mine.run()
    assert str(raised.value).startswith(message)
    assert "what was published stays" in str(raised.value)
    assert mine.home.warehouse.read_bytes() == before


def test_the_command_ends_with_1_and_one_line_and_a_rebuild_mends_it(mine: TestHome) -> None:
    before = mine.tables()
    spoil(mine, _SPOILED["deployments lost"][0])
    answer = call(mine.home.path, "run")
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert line.startswith(f"dora: {_SPOILED['deployments lost'][1]}")
    assert "`dora run --rebuild`" in line
    mine.run(rebuild=True)
    assert mine.tables() == before


def test_too_few_and_too_many_do_not_make_up_for_each_other(mine: TestHome) -> None:
    spoil(
        mine,
        "UPDATE core.deployments SET day = '2024-03-03' WHERE source = 'deployment_event_api' AND day = '2024-03-02'",
    )
    told = [(one.table, one.sources, one.expected, one.found, one.first_day) for one in found(mine)]
    assert [one for one in told if one[0] == "core.deployments"] == [
        ("core.deployments", _EVENTS, 3, 0, date(2024, 3, 2)),
        ("core.deployments", _EVENTS, 3, 6, date(2024, 3, 3)),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("core.deployments", "core.deployments: apm_deployment_tracking: 26 "),
        ("core.failures", "core.failures: failure_event_api: "),
        ("metrics.daily", "metrics.daily: "),
        ("core.rejected_events", "core.rejected_events: "),
    ],
    ids=["deployments", "failures", "daily", "rejected events"],
)
def test_a_statement_that_drops_rows_publishes_nothing(
    mine: TestHome, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    before = mine.tables()

    def statement(asked: str) -> str:
        text = queries.statement(asked)
        return f"SELECT * FROM ({text}) LIMIT 1" if asked == name else text

    monkeypatch.setattr(engine, "statement", statement)
    with pytest.raises(WarehouseError) as raised:
        mine.run("2024-03-01", "2024-03-12")
    assert str(raised.value).startswith(message.removesuffix("26 "))
    assert mine.tables() == before


@pytest.mark.parametrize(
    ("judged", "message"),
    [
        ("landing.judged_deployments", f"{_EVENTS}: 1 deployments should be there, 0 are"),
        ("landing.judged_failures", f"{_FAILURES}: 1 failures should be there, 0 are"),
    ],
)
def test_judging_that_drops_rows_publishes_nothing(
    mine: TestHome, monkeypatch: pytest.MonkeyPatch, judged: str, message: str
) -> None:
    before = mine.tables()

    def statement(asked: str) -> str:
        text = queries.statement(asked)
        return f"SELECT * FROM ({text}) WHERE day <> '2024-03-20'" if asked == judged else text

    monkeypatch.setattr(engine, "statement", statement)
    mine.deploy("shop", "2024-03-20 10:00:00")
    mine.fail(["shop"], "2024-03-20 11:00:00")
    with pytest.raises(WarehouseError, match=f"^{judged}: {message}"):
        mine.run()
    assert mine.tables() == before


@pytest.mark.parametrize(
    "table",
    ["new_deployments", "new_judged", "new_failures", "landing.version_activity", "new_rejects", "new_links"],
)
def test_rows_that_a_transaction_does_not_read_back_are_noticed_where_they_are_written(
    mine: TestHome, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    before = mine.tables()
    mine.deploy("shop", "2024-03-10 15:00:00")
    mine.deploy("cart", "2024-03-10 15:00:00", finished_at="no time")
    mine.fail(["shop"], "2024-03-10 15:30:00")
    mine.drop_export(
        "one.jsonl", [{"timestamp": "2024-03-10T15:00:00Z", "service": "web", "env": "prod", "version": "99"}]
    )
    insert, execute_with = queries.insert, queries.execute_with

    def unread(connection: duckdb.DuckDBPyConnection, target: str, rows: str, expected: int) -> None:
        insert(connection, target, f"{rows} LIMIT 0" if rows == table else rows, expected)

    def unread_frame(connection: duckdb.DuckDBPyConnection, rows: pl.DataFrame, query: str) -> None:
        execute_with(connection, rows.clear() if f"INTO {table} " in query else rows, query)

    for module in (landing, replacement):
        monkeypatch.setattr(module, "insert", unread)
    monkeypatch.setattr(landing, "execute_with", unread_frame)
    with pytest.raises(WarehouseError, match=r"landing\.\w+: \d+ rows were to be written or read, and 0 were"):
        mine.run()
    assert mine.tables() == before


def test_dagster_publishes_nothing_that_does_not_add_up(mine: TestHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DORA_HOME", str(mine.home.path))
    before = mine.home.warehouse.read_bytes()
    spoil(mine, _SPOILED["deployments lost"][0])
    with dg.DagsterInstance.ephemeral() as instance:
        assert not days_run(mine, instance, "2024-03-06").success
    assert mine.home.warehouse.read_bytes() == before


def test_the_check_finds_the_same_in_what_is_published(mine: TestHome) -> None:
    spoil(mine, _SPOILED["deployments lost"][0])
    mine.home.warehouse.unlink()
    working_file(mine.home).rename(mine.home.warehouse)
    answer = call(mine.home.path, "check")
    assert answer.code == 1
    assert "loads_add_up" in answer.out + answer.err
    assert "deployment_event_api (3 expected, 0 found, from 2024-03-02 on)" in " ".join(
        (answer.out + answer.err).split()
    )


_PARAMETERS: dict[str, object] = {
    "quiet_gap_us": 3_600_000_000,
    "recent_day": date(2024, 3, 1),
    "share": 0.05,
    "event_type": "deployment",
}
_OF_FAILED_CHANGES = (
    "CREATE TEMP TABLE waiting_services AS SELECT service, MIN(day) AS from_day, MIN(day) AS reverts_from_day "
    "FROM landing.judged_deployments GROUP BY service",
    f"CREATE TEMP TABLE chain_names AS {queries.statement('landing.chain_names')}",
    f"CREATE TEMP TABLE chains AS {queries.statement('landing.chains')}",
    "CREATE TEMP TABLE marks AS SELECT deployment_id, TRUE AS is_failed, NULL::VARCHAR AS remediation_id, "
    "NULL::VARCHAR AS remediation_type FROM chains",
    "CREATE TEMP TABLE rollbacks AS SELECT deployment_id, previous_id AS failed_id FROM chains",
    "CREATE TEMP TABLE reverted_deployments AS FROM rollbacks",
    "CREATE TEMP TABLE rule_matches AS SELECT deployment_id, 0 AS rule FROM chains",
    "CREATE TEMP TABLE change_failure_rules AS SELECT 0 AS rule, 'hotfix' AS name, 'previous' AS fails",
    f"INSERT INTO landing.change_signs BY NAME {queries.statement('landing.change_signs')}",
)


@pytest.mark.parametrize("name", NOTHING_WITHOUT)
def test_a_statement_that_is_left_out_while_tables_are_empty_would_find_nothing(mine: TestHome, name: str) -> None:
    text = queries.statement(name)
    parameters = {key: value for key, value in _PARAMETERS.items() if f"${key}" in text}
    with duckdb.connect(str(working_file(mine.home))) as connection:
        connection.execute("CREATE TEMP TABLE run_days AS SELECT DISTINCT day FROM landing.deployments")
        for prepared in _OF_FAILED_CHANGES:
            connection.execute(prepared)
        assert not finds_nothing(connection, name), "nothing is shown of it"
        for table in NOTHING_WITHOUT[name]:
            connection.execute(f"DELETE FROM {table}")
        assert finds_nothing(connection, name)
        assert connection.execute(text, parameters).fetchall() == []


# States in which days differ rightly


def test_days_that_have_changed_and_are_not_loaded_add_up(mine: TestHome) -> None:
    mine.deploy("shop", "2024-03-02 15:00:00")
    mine.deploy("shop", "2024-03-03 15:00:00")
    mine.fail(["shop", "web"], "2024-03-03 15:00:00", "2024-03-04 15:00:00")
    mine.select("deployment", *DEPLOYMENTS_BY_APM, at=datetime(2024, 5, 1, tzinfo=UTC))
    report = mine.run("2024-03-03")
    assert len(report.stale) > 5
    assert found(mine) == []
    mine.run()
    assert found(mine) == []


def test_a_day_whose_events_wait_adds_up_though_a_link_brought_its_figures_up_to_date(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-03-29 12:00:00")
    home.fail(["shop"], "2024-03-30 12:00:00")
    home.run()
    home.select("deployment", *DEPLOYMENTS_BY_APM, at=datetime(2024, 6, 1, tzinfo=UTC))
    assert home.run("2024-03-30").stale == [date(2024, 3, 29)]
    home.run()
    assert home.rows("SELECT day, deployments, failures FROM metrics.daily") == [(date(2024, 3, 30), None, 1)]


def test_a_day_of_restores_adds_up_while_the_days_of_their_failures_wait(
    home: TestHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAGERDUTY_API_TOKEN", raising=False)
    home.select_events()
    home.fail(["shop"], "2024-03-29 12:00:00", "2024-03-30 12:00:00")
    home.deploy("shop", "2024-03-30 12:00:00")
    home.run()
    home.select("failure", "pagerduty", at=datetime(2024, 6, 1, tzinfo=UTC))
    with pytest.raises(ConfigError, match="PAGERDUTY_API_TOKEN"):
        home.run("2024-03-30")
    assert home.rows("SELECT restores FROM metrics.daily WHERE day = '2024-03-30'") == [(None,)]


def test_events_before_the_first_selection_and_of_sources_never_selected_are_accounted_for(home: TestHome) -> None:
    first = datetime(2024, 5, 6, 12, tzinfo=UTC)
    home.select("deployment", *DEPLOYMENTS_BY_EVENT, at=first)
    for hours in (-24, -1, 0, 1):
        home.deploy("shop", f"{first + timedelta(hours=hours):%Y-%m-%d %H:%M:%S}")
    home.deploy("shop", "2024-05-06 14:00:00", finished_at="2024-05-06T13:00:00Z")
    home.fail(["shop"], "2024-05-06 13:00:00")
    home.run()
    assert home.rows("SELECT COUNT(*) FROM core.deployments") == [(2,)]
    home.select("failure", _FAILURES, at=first + timedelta(hours=2))
    home.fail(["shop", "cart"], "2024-05-06 15:00:00")
    home.fail(["shop"], "2024-05-06 15:00:00", id="another")
    home.fail([], "2024-05-06 15:00:00", team="ops")
    home.run()
    assert home.rows("SELECT COUNT(*) FROM core.failures") == [(3,)]
    assert found(home) == []


def test_refused_days_add_up(home: TestHome) -> None:
    home.select("deployment", *DEPLOYMENTS_BY_APM)
    told = [
        {"timestamp": f"2024-05-0{day}T12:00:00Z", "service": f"s{number}", "env": "prod", "version": f"{day}"}
        for day in (6, 7)
        for number in range(30)
    ]
    home.drop_export("one.jsonl", told)
    home.run()
    home.drop_export("one.jsonl", [*told[:3], *told[30:]])
    with pytest.raises(Exception, match="not loaded: 2024-05-06"):
        home.run()
    assert home.rows("SELECT COUNT(*) FROM core.deployments") == [(60,)]
    assert found(home) == []


def test_a_failure_that_is_sent_and_pulled_with_different_days_is_one_whichever_day_is_loaded_first(
    home: TestHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DD_API_KEY", API_KEY)
    monkeypatch.setenv("DD_APP_KEY", APP_KEY)
    home.select("failure", _FAILURES, at=datetime(2024, 5, 1, tzinfo=UTC))
    home.fail(["shop"], "2024-05-06 10:00:00", id="one")
    home.run()
    attributes = {"services": ["shop"], "env": "prod", "started_at": "2024-05-08T10:00:00Z"}
    with FakeDatadog(failures=[{"id": "one", "type": "dora_failure", "attributes": attributes}]) as vendor:
        home.settings(datadog={"api_url": vendor.url}, sources={_FAILURES: {"pull_from_datadog": True}})
        home.run("2024-05-08")
        assert found(home) == []
        home.run()
    assert home.rows("SELECT failure_id, day::VARCHAR FROM core.failures") == [("one", "2024-05-08")]
    assert found(home) == []
    before = home.tables()
    home.run(rebuild=True)
    assert home.tables() == before


_DAYS = [f"2024-05-{number:02}" for number in range(6, 11)]
_SELECTIONS = (DEPLOYMENTS_BY_EVENT, DEPLOYMENTS_BY_APM, (*DEPLOYMENTS_BY_APM, *DEPLOYMENTS_BY_EVENT))
_moments = st.builds(
    lambda day, hour, second: f"{day} {hour:02}:00:{second:02}",
    st.sampled_from(_DAYS),
    st.sampled_from([0, 12, 23]),
    st.integers(0, 1),
)
_services = st.sampled_from(["shop", "cart"])
_versions = st.sampled_from(["1", "2"])
_steps = st.one_of(
    st.tuples(st.just("deploy"), _services, _moments, _versions),
    st.tuples(st.just("export"), _services, _moments, _versions),
    st.tuples(st.just("fail"), st.lists(_services, unique=True, max_size=2), _moments, st.none() | _moments),
    st.tuples(st.just("select"), st.sampled_from(_SELECTIONS)),
    st.tuples(st.just("run"), st.none() | st.sampled_from(_DAYS)),
)


@pytest.mark.timeout(600)
@settings(max_examples=examples(2), derandomize=True, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(steps=st.lists(_steps, min_size=12, max_size=24))
def test_no_order_of_events_selections_and_partial_runs_is_refused(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    home = TestHome(tmp_path_factory.mktemp("world") / "home")
    home.select("failure", _FAILURES, at=datetime(2024, 5, 7, tzinfo=UTC))
    home.select("deployment", *DEPLOYMENTS_BY_EVENT, at=datetime(2024, 5, 6, 12, tzinfo=UTC))
    selected_at = datetime(2024, 5, 8, tzinfo=UTC)
    sightings: list[dict[str, Any]] = []
    for kind, *told in steps:
        if kind == "deploy":
            home.deploy(told[0], told[1], version=told[2])
        elif kind == "export":
            at = f"{told[1].replace(' ', 'T')}Z"
            sightings.append({"timestamp": at, "service": told[0], "env": "prod", "version": told[2]})
            home.drop_export(f"{len(sightings) // 4}.jsonl", sightings[len(sightings) // 4 * 4 :])
        elif kind == "fail":
            home.fail(told[0], told[1], told[2], team="ops")
        elif kind == "select":
            selected_at += timedelta(minutes=1)
            home.select("deployment", *told[0], at=selected_at)
        else:
            home.run(told[0])
            assert found(home) == []
    home.run()
    assert found(home) == []
