"""What metrics.summary and its kin say beside the four metrics: failed changes, recovery, rework, links, how sure."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.reports import write_report
from dora_pipeline.warehouse.queries import statement
from dora_pipeline_tests.homes import TestHome, moment
from dora_pipeline_tests.report_pages import card, page

OF_CHANGES = "deployments, failed_changes, failed_change_rate, recoveries, recovery_p50_seconds"
OF_REWORK = "rework_deployments, rework_rate, linked_failures, linked_failure_rate"
RESTORED = {"five": 5, "six": 6, "ten": 10, "hundred": 100}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """Six deployments, of which the second and the fifth failed; failures of the second and the third; restores."""
    home = TestHome(tmp_path_factory.mktemp("figures") / "home")
    home.select_events()
    tags = {"d1": ["tier:1", "tier:2", "tier:1"], "d2": ["tier:2", "tier"]}
    for id_, version, finished in (
        ("d1", "1", "2024-05-06T09:00:00"),
        ("d2", "2", "2024-05-06T10:00:00"),
        ("d3", "1", "2024-05-06T10:30:00"),
        ("d4", "3", "2024-05-06T11:00:00"),
        ("d5", "4", "2024-05-31T23:00:00"),
        ("d6", "3", "2024-06-01T00:30:00"),
    ):
        home.deploy("shop", finished, id=id_, version=version, team="x", custom_tags=tags.get(id_, []))
    home.fail(["shop"], "2024-05-06T10:05:00", "2024-05-06T10:06:00", id="f1", severity="High")
    home.fail(["shop"], "2024-05-06T10:07:00", "2024-05-06T10:08:00", id="f2", severity="Low", custom_tags=["tier:2"])
    home.fail(["shop", "till"], "2024-05-06T10:40:00", id="f3", severity="High", team="x")
    home.fail(["till"], "2024-05-07T10:00:00", id="nowhere", env=None)
    soon = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")
    home.fail(["till"], soon, id="soon")
    minutes = [moment("2024-03-01 00:00:00") + timedelta(minutes=minute) for minute in range(100)]
    restored = [
        {
            "services": [name],
            "env": "prod",
            "started_at": minutes[number].isoformat(),
            "finished_at": (minutes[number] + timedelta(seconds=number + 1)).isoformat(),
        }
        for name, count in RESTORED.items()
        for number in range(count)
    ]
    with EventStore.at(home.home) as store:
        store.append_many("failure", restored, received_at=[moment("2024-03-02 00:00:00")] * len(restored))
    home.run()
    return home


def by(home: TestHome, dimension: str, columns: str, first: str = "2024-05-01", last: str = "2024-05-31") -> list[Any]:
    """Env, member and columns of a month over a dimension."""
    query = f"SELECT env, member, {columns} FROM metrics.summary_by(?, 'month', ?, ?) WHERE env IS NOT NULL"
    return home.rows(query, dimension, first, last)


def test_failed_changes_count_on_the_day_of_the_one_that_failed_and_rework_on_that_of_the_one_that_mended(
    shop: TestHome,
) -> None:
    columns = f"CAST(day AS VARCHAR), {OF_CHANGES}, {OF_REWORK}"
    assert shop.rows(f"SELECT {columns} FROM metrics.daily WHERE deployments > 0 ORDER BY day") == [
        ("2024-05-06", 4, 1, 0.25, 1, 1800.0, 1, 0.25, 2, 0.5),
        ("2024-05-31", 1, 1, 1.0, 1, 5400.0, 0, 0.0, 0, 0.0),
        ("2024-06-01", 1, 0, 0.0, 0, None, 1, 1.0, 0, 0.0),
    ]
    assert shop.rows(
        f"SELECT CAST(period AS VARCHAR), {OF_CHANGES}, {OF_REWORK} "
        "FROM metrics.summary('month', '2024-05-01', '2024-06-30') WHERE service = 'shop' AND env = 'prod'"
    ) == [
        ("2024-05-01", 5, 2, 0.4, 2, 3600.0, 1, 0.2, 2, 0.4),
        ("2024-06-01", 1, 0, 0.0, 0, None, 1, 1.0, 0, 0.0),
    ]


def test_the_two_views_of_a_deployment_stand_side_by_side(shop: TestHome) -> None:
    assert shop.rows(
        "SELECT deployment_id, is_failed_change, way, remediation_id, recovery_seconds, failure_ids, agreement "
        "FROM metrics.deployment_outcomes ORDER BY deployment_id"
    ) == [
        ("d1", False, None, None, None, [], "none"),
        ("d2", True, "rollback", "d3", 1800.0, ["f1", "f2"], "both"),
        ("d3", False, None, None, None, ["f3"], "failure_only"),
        ("d4", False, None, None, None, [], "none"),
        ("d5", True, "rollback", "d6", 5400.0, [], "change_only"),
        ("d6", False, None, None, None, [], "none"),
    ]


def test_a_roll_up_is_told_per_environment_and_counts_a_failure_once_for_each_member(shop: TestHome) -> None:
    counts = "deployments, failures, restores, linked_failures"
    everything = by(shop, "all", counts)
    assert everything == by(shop, "env", counts) == [("prod", "all", 5, 3, 2, 2)]
    assert [row for row in by(shop, "service", counts) if row[2:4] != (0, 0)] == [
        ("prod", "shop", 5, 3, 2, 2),
        ("prod", "till", 0, 1, 0, 0),
    ]
    assert by(shop, "team", counts) == [("prod", "x", 5, 1, 0, 2), ("prod", None, 0, 2, 2, 0)]
    assert by(shop, "repository", counts) == [("prod", None, 5, 3, 2, 2)]
    without_env = (
        "SELECT member, failures, deployments FROM metrics.summary_by('all', 'month', '2024-05-01', '2024-05-31') "
    )
    assert shop.rows(without_env + "WHERE env IS NULL") == [("all", 1, 0)]


def test_rates_of_an_env_are_not_known_where_failures_that_would_count_name_none(shop: TestHome) -> None:
    """`nowhere` is a failure of till, which is not deployed: nothing can be linked to it, but it may count anywhere."""
    rates = "failures, deployments, change_failure_rate, linked_failures, linked_failure_rate, linked_failure_rate_low"
    low = pytest.approx(0.1176, abs=5e-5)
    assert by(shop, "all", rates) == [("prod", "all", 3, 5, None, 2, 0.4, low)]
    assert ("prod", "shop", 3, 5, 0.6, 2, 0.4, low) in by(shop, "service", rates)
    assert by(shop, "team", rates)[0] == ("prod", "x", 1, 5, 0.2, 2, 0.4, low)
    assert by(shop, "all", rates, "2024-05-08", "2024-05-31") == [("prod", "all", 0, 1, 0.0, 0, 0.0, 0.0)]


def test_daily_rates_and_times_to_restore_of_an_env_are_not_known_where_failures_name_none(tmp_path: Path) -> None:
    home = TestHome(tmp_path / "home")
    home.select_events()
    for version, env in (("1", "prod"), ("2", "prod"), ("3", "staging"), ("4", None)):
        home.deploy("shop", f"2024-05-06T0{version}:00:00", version=version, env=env)
    home.deploy("till", "2024-05-06T05:00:00", version="1")
    home.fail(["shop"], "2024-05-06T06:00:00", "2024-05-06T07:00:00", id="placed")
    home.fail(["shop"], "2024-05-06T08:00:00", "2024-05-07T08:00:00", id="unplaced", env=None)
    home.fail(["shop"], "2024-05-07T08:00:00", "2024-05-07T08:01:00", id="later")
    home.deploy("shop", "2024-05-07T07:00:00", version="5")
    home.run()
    columns = "service, env, failures, change_failure_rate, linked_failure_rate, restores, time_to_restore_p50_seconds"
    assert home.rows(f"SELECT DAY(day), {columns} FROM metrics.daily ORDER BY ALL") == [
        (6, "shop", "prod", 1, None, 0.5, 1, 3600.0),
        (6, "shop", "staging", 0, None, None, 0, None),
        (6, "shop", None, 1, 1.0, 1.0, 0, None),
        (6, "till", "prod", 0, 0.0, 0.0, 0, None),
        (7, "shop", "prod", 1, 1.0, 1.0, 1, None),
        (7, "shop", None, 0, None, None, 1, 86400.0),
    ]
    week = "('week', '2024-05-06', '2024-05-12')"
    assert home.rows(f"SELECT {columns} FROM metrics.summary{week} WHERE env = 'prod' ORDER BY ALL") == [
        ("shop", "prod", 2, None, pytest.approx(2 / 3), 2, None),
        ("till", "prod", 0, 0.0, 0.0, 0, None),
    ]
    day = "metrics.explain('2024-05-06', '2024-05-06', 'shop', 'prod')"
    assert home.rows(f"SELECT event_id, reason FROM {day} WHERE figure = 'failures'") == [
        ("placed", None),
        ("unplaced", "no_env"),
    ]
    root = page(write_report(home.home, days=2).read_text(encoding="utf-8"))
    rate, text = card(root, "prod", "Change failure rate")
    assert rate is None
    assert "Not known: 1 failure names no environment. dora check says which setting gives it one." in text
    restore, text = card(root, "prod", "Time to restore")
    assert restore is None
    assert "Not known: 1 restored failure names no environment." in text


def test_a_linked_failure_rate_is_not_known_while_later_failures_that_name_no_env_may_be_of_its_deployments(
    tmp_path: Path,
) -> None:
    """Those of shop may be of s1 or s2, not of s0 or s3; it is known what till and desk failed by, in whatever env."""
    home = TestHome(tmp_path / "home")
    home.select_events()
    home.deploy("shop", "2024-05-05T08:00:00", id="s0")
    home.deploy("shop", "2024-05-06T08:00:00", id="s1")
    home.deploy("shop", "2024-05-06T09:00:00", id="s2", env="staging")
    home.fail(["shop"], "2024-05-07T09:00:00", id="unplaced", env=None)
    home.deploy("till", "2024-05-06T08:00:00", id="t1")
    home.fail(["till"], "2024-05-06T12:00:00", id="placed")
    home.fail(["till"], "2024-05-07T12:00:00", id="again", env=None)
    home.deploy("desk", "2024-05-06T08:00:00", id="k1")
    home.deploy("desk", "2024-05-06T09:00:00", id="k2", env="staging")
    home.fail(["desk"], "2024-05-07T12:00:00", id="named", env=None, custom_tags=["deployment_id:k1"])
    home.deploy("shop", "2024-05-07T10:00:00", id="s3")
    home.run()
    rates = "linked_failures, linked_failure_rate"
    by_env = f"SELECT service, env, {rates} FROM metrics.daily WHERE day = '2024-05-0{{}}' ORDER BY ALL"
    assert home.rows(by_env.format(5)) == [("shop", "prod", 0, 0.0)]
    assert home.rows(by_env.format(6)) == [
        ("desk", "prod", 1, 1.0),
        ("desk", "staging", 0, 0.0),
        ("shop", "prod", 0, None),
        ("shop", "staging", 1, None),
        ("till", "prod", 1, 1.0),
    ]
    columns = f"{rates}, linked_failure_rate_low IS NULL AND linked_failure_rate_high IS NULL"
    assert by(home, "all", columns, "2024-05-05", "2024-05-06") == [
        ("prod", "all", 2, None, True),
        ("staging", "all", 1, None, True),
    ]
    prod = f"SELECT service, {columns} FROM metrics.summary('day', '2024-05-06', '2024-05-06') WHERE env = 'prod'"
    assert home.rows(f"{prod} ORDER BY ALL") == [
        ("desk", 1, 1.0, False),
        ("shop", 0, None, True),
        ("till", 1, 1.0, False),
    ]
    assert home.rows(
        "SELECT failure_id, deployment_id, possible_ids FROM core.failure_links WHERE env IS NULL ORDER BY ALL"
    ) == [("again", "t1", ["t1"]), ("named", "k1", None), ("unplaced", "s2", ["s1", "s2"])]
    day = "metrics.explain('2024-05-06', '2024-05-06', $1, $2)"
    linked = f"SELECT event_id, reason, details FROM {day} WHERE figure = 'linked_failures'"
    left_out = ("unplaced", "no_env", "may be of s1, linked to s2 by latest")
    assert home.rows(linked, "shop", "prod") == [left_out]
    assert home.rows(linked, "till", "prod") == [("t1", None, "failures again, placed")]
    # What was deployed after the failure, on its day, cannot have caused it.
    both = (
        "SELECT env, deployments, change_failure_rate, linked_failure_rate FROM metrics.daily WHERE day = '2024-05-07'"
    )
    assert home.rows(f"{both} AND env IS NOT NULL") == [("prod", 1, None, 0.0)]
    assert by(home, "all", columns, "2024-05-07", "2024-05-07")[0] == ("prod", "all", 0, 0.0, False)
    later = "metrics.explain('2024-05-07', '2024-05-07', 'shop', 'prod')"
    assert home.rows(f"SELECT event_id FROM {later} WHERE figure = 'linked_failures'") == []
    assert home.rows(statement("checks.recount")) == []


def test_severities_have_no_deployments_and_sources_only_their_own_events(shop: TestHome) -> None:
    columns = f"failures, restores, open_failures, change_failure_rate, {OF_CHANGES}, {OF_REWORK}"
    nothing = (None,) * 10
    assert [row for row in by(shop, "severity", columns) if row[1]] == [
        ("prod", "High", 2, 1, 1, *nothing),
        ("prod", "Low", 1, 1, 0, *nothing),
    ]
    assert by(shop, "source", columns) == [
        ("prod", "deployment_event_api", None, None, None, None, 5, 2, 0.4, 2, 3600.0, 1, 0.2, 2, None),
        ("prod", "failure_event_api", 3, 2, 1, *nothing),
    ]


def test_an_event_with_several_values_of_a_tag_counts_for_each_of_them_once(shop: TestHome) -> None:
    columns = "deployments, failures, failed_changes"
    assert by(shop, "tag:tier", columns) == [
        ("prod", "1", 1, 0, 0),
        ("prod", "2", 2, 1, 1),
        ("prod", None, 3, 2, 1),
    ]
    assert by(shop, "tag:ti", columns) == [("prod", None, 5, 3, 2)]


def test_medians_have_the_order_statistic_interval_from_six_values_on(shop: TestHome) -> None:
    found = shop.rows(
        "SELECT service, restores, time_to_restore_p50_seconds_low, time_to_restore_p50_seconds_high "
        "FROM metrics.summary('month', '2024-03-01', '2024-06-30') "
        "WHERE period = '2024-03-01' AND env = 'prod' AND service <> 'till' ORDER BY restores"
    )
    assert found == [
        ("shop", 0, None, None),
        ("five", 5, None, None),
        ("six", 6, 1.0, 6.0),
        ("ten", 10, 2.0, 9.0),
        ("hundred", 100, 40.0, 61.0),
    ]


@pytest.mark.parametrize(
    ("number", "among", "low", "high"),
    [
        (0, 0, None, None),
        (0, 10, 0.0, 0.2775),
        (2, 5, 0.1176, 0.7693),
        (1, 6, 0.0301, 0.5635),
        (5, 10, 0.2366, 0.7634),
        (10, 100, 0.0552, 0.1744),
        (100, 100, 0.9630, 1.0),
    ],
)
def test_shares_have_the_interval_of_wilson(
    shop: TestHome, number: int, among: int, low: float | None, high: float | None
) -> None:
    (found,) = shop.rows("SELECT metrics.wilson_low($1, $2), metrics.wilson_high($1, $2)", number, among)
    assert found == ((None, None) if low is None else (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5)))


def test_the_intervals_stand_beside_the_rates_of_a_period(shop: TestHome) -> None:
    names = [
        f"{name}_{end}"
        for name in ("failed_change_rate", "rework_rate", "linked_failure_rate")
        for end in ("low", "high")
    ]
    row = by(shop, "team", ", ".join(names))[0]
    # 2, 1 and 2 of 5.
    expected = (0.1176, 0.7693, 0.0362, 0.6245, 0.1176, 0.7693)
    assert row[2:] == pytest.approx(expected, abs=5e-5)


def test_what_is_open_is_counted_at_the_end_of_the_period_or_now(shop: TestHome) -> None:
    columns = "open_failures, oldest_open_seconds, is_provisional"
    assert by(shop, "all", columns) == [("prod", "all", 1, 25 * 86_400 + 13 * 3600 + 20 * 60, False)]
    assert by(shop, "all", columns, "2024-04-01", "2024-04-30") == [("prod", "all", 0, None, False)]
    assert by(shop, "all", columns, "2024-05-01", "2024-05-06")[0][2:4] == (1, 13 * 3600 + 20 * 60)
    ((_, _, number, age, is_provisional),) = by(shop, "all", columns, "2190-01-01", "2190-01-31")
    assert (number, age, is_provisional) == (None, None, True)


def test_a_failure_that_is_told_early_is_not_open_before_it_starts(shop: TestHome) -> None:
    columns = "SUM(open_failures), MIN(oldest_open_seconds) > 0"
    days = "'year', CURRENT_DATE, CURRENT_DATE + 1"
    assert shop.rows(f"SELECT {columns} FROM metrics.summary({days}) WHERE service = 'till' AND env = 'prod'") == [
        (1, True)
    ]
    assert shop.rows(f"SELECT {columns} FROM metrics.summary_by('all', {days}) WHERE env = 'prod'") == [(1, True)]


def test_failures_that_are_never_restored_take_no_memory_for_each_day_on_which_they_are_open(
    shop: TestHome, tmp_path: Path
) -> None:
    of_each_day, days = 72, 365
    copy = tmp_path / "copy.duckdb"
    copy.write_bytes(shop.home.warehouse.read_bytes())
    with duckdb.connect(str(copy)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            """
            INSERT INTO core.failures
            SELECT f.* REPLACE (
                'open-' || n AS failure_id, DATE '2025-01-01' + CAST(n // $of_each_day AS INTEGER) AS day,
                CAST(DATE '2025-01-01' + CAST(n // $of_each_day AS INTEGER) AS TIMESTAMPTZ) AS started_at
            )
            FROM core.failures AS f, RANGE($of_each_day * $days) AS r(n)
            WHERE f.failure_id = 'f3' AND f.service = 'shop'
            """,
            {"of_each_day": of_each_day, "days": days},
        )
        connection.execute("SET memory_limit = '100MB'; SET temp_directory = ''")
        for source in ("summary_by('all', {})", "summary({})"):
            asked = source.format("'day', DATE '2025-01-01', DATE '2025-12-31'")
            service = "" if "by" in source else "AND service = 'shop'"
            rows = connection.execute(
                f"SELECT open_failures FROM metrics.{asked} WHERE env = 'prod' {service} ORDER BY period"
            ).fetchall()
            # One more is open since 2024.
            assert [row[0] for row in rows] == [1 + of_each_day * number for number in range(1, days + 1)]


def test_a_period_that_is_cut_or_in_which_a_type_begins_is_not_whole_and_counts_are_null_before(tmp_path: Path) -> None:
    home = TestHome(tmp_path / "home")
    home.settings(timezone="Europe/Berlin")
    home.select("deployment", "deployment_event_api")
    home.select("failure", "failure_event_api", at=moment("2024-05-09 22:00:00"))
    for day in ("2024-05-09", "2024-05-10", "2024-05-11"):
        home.deploy("shop", f"{day}T10:00:00", version=day)
    home.fail(["shop"], "2024-05-11T10:00:00", "2024-05-11T10:01:00")
    home.run()
    columns = "is_whole, deployments, failures, restores, change_failure_rate, linked_failures, linked_failure_rate"

    def told(grain: str, first: str, last: str) -> list[Any]:
        query = f"SELECT CAST(period AS VARCHAR), {columns} FROM metrics.summary(?, ?, ?)"
        return home.rows(query, grain, first, last)

    # 2024-05-10 begins at 22:00 UTC the day before.
    assert told("day", "2024-05-09", "2024-05-11") == [
        ("2024-05-09", True, 1, None, None, None, None, None),
        ("2024-05-10", True, 1, 0, 0, 0.0, 0, 0.0),
        ("2024-05-11", True, 1, 1, 1, 1.0, 1, 1.0),
    ]
    assert told("week", "2024-05-06", "2024-05-19") == [
        ("2024-05-06", False, 3, 1, 1, None, 1, None),
        ("2024-05-13", True, 0, 0, 0, None, 0, None),
    ]
    assert told("month", "2024-06-02", "2024-06-30")[0][:2] == ("2024-06-01", False)
    assert home.rows(f"SELECT {columns.partition(', ')[2]} FROM metrics.daily ORDER BY day") == [
        (1, None, None, None, None, None),
        (1, 0, 0, 0.0, 0, 0.0),
        (1, 1, 1, 1.0, 1, 1.0),
    ]
