"""The metrics by day and by longer periods, column by column."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from dora_pipeline_tests.git_histories import History
from dora_pipeline_tests.homes import TestHome

COUNTS = "deployments, failures, change_failure_rate, restores"
RESTORES = "restores, time_to_restore_p50_seconds, time_to_restore_p90_seconds, time_to_restore_mean_seconds"
DIMENSIONS = "dimension is one of service, team, repository, source, severity, all, env, tag:<key>"
LEAD_TIMES = (
    "lead_time_commits, lead_time_p50_seconds, lead_time_p90_seconds, lead_time_mean_seconds, "
    "deployment_lead_time_p50_seconds"
)


def daily(home: TestHome, columns: str) -> list[tuple[Any, ...]]:
    return home.rows(f"SELECT CAST(day AS VARCHAR), {columns} FROM metrics.daily ORDER BY ALL")


def summary(home: TestHome, columns: str, grain: str, first: str, last: str) -> list[tuple[Any, ...]]:
    return home.rows(
        f"SELECT CAST(period AS VARCHAR), {columns} FROM metrics.summary(?, ?, ?) ORDER BY ALL", grain, first, last
    )


def periods(home: TestHome, grain: str, first: str, last: str) -> list[tuple[str, int]]:
    """Periods with their deployments."""
    return summary(home, "deployments", grain, first, last)


def restore(home: TestHome, day: str, *seconds: int) -> None:
    """A failure restored after so many seconds, one an hour from 00:00 on."""
    for hour, duration in enumerate(seconds):
        minutes, rest = divmod(duration, 60)
        home.fail(["shop"], f"{day}T{hour:02}:00:00", f"{day}T{hour:02}:{minutes:02}:{rest:02}")


def test_a_day_without_events_has_no_row(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T10:00:00")
    home.deploy("shop", "2024-05-08T10:00:00")
    home.run()
    assert daily(home, "deployments") == [("2024-05-06", 1), ("2024-05-08", 1)]


def test_a_day_with_deployments_alone_has_a_failure_rate_of_zero_and_no_durations(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T10:00:00")
    home.run()
    assert daily(home, COUNTS) == [("2024-05-06", 1, 0, 0.0, 0)]
    assert daily(home, RESTORES) == [("2024-05-06", 0, None, None, None)]
    assert daily(home, LEAD_TIMES) == [("2024-05-06", 0, None, None, None, None)]


def test_a_day_with_failures_alone_has_no_failure_rate(home: TestHome) -> None:
    home.select_events()
    home.fail(["shop"], "2024-05-06T10:00:00")
    home.run()
    assert daily(home, COUNTS) == [("2024-05-06", 0, 1, None, 0)]
    assert summary(home, COUNTS, "month", "2024-05-01", "2024-05-31") == [("2024-05-01", 0, 1, None, 0)]


def test_the_failure_rate_can_pass_one(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T09:00:00")
    home.deploy("shop", "2024-05-06T09:30:00")
    for hour in (10, 11, 12):
        home.fail(["shop"], f"2024-05-06T{hour}:00:00")
    home.run()
    assert daily(home, COUNTS) == [("2024-05-06", 2, 3, 1.5, 0)]


def test_failures_are_counted_against_deployments_of_their_own_service_and_environment(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T09:00:00")
    home.deploy("shop", "2024-05-06T09:30:00", env="staging")
    home.deploy("cart", "2024-05-06T09:30:00")
    home.fail(["shop"], "2024-05-06T10:00:00")
    home.fail(["till"], "2024-05-06T11:00:00", env=None)
    home.run()
    assert home.rows(
        "SELECT service, env, deployments, failures, change_failure_rate FROM metrics.daily ORDER BY ALL NULLS LAST"
    ) == [
        ("cart", "prod", 1, 0, 0.0),
        ("shop", "prod", 1, 1, 1.0),
        ("shop", "staging", 1, 0, 0.0),
        ("till", None, 0, 1, None),
    ]


def test_a_restore_counts_on_the_day_of_the_restore_and_the_failure_on_the_day_it_started(home: TestHome) -> None:
    home.select_events()
    home.fail(["shop"], "2024-05-06T23:59:59", "2024-05-07T00:00:01")
    home.run()
    assert daily(home, COUNTS) == [("2024-05-06", 0, 1, None, 0), ("2024-05-07", 0, 0, None, 1)]
    assert daily(home, RESTORES) == [("2024-05-06", 0, None, None, None), ("2024-05-07", 1, 2.0, 2.0, 2.0)]


def test_a_failure_restored_at_once_took_zero_seconds(home: TestHome) -> None:
    home.select_events()
    home.fail(["shop"], "2024-05-06T10:00:00", "2024-05-06T10:00:00")
    home.run()
    assert daily(home, RESTORES) == [("2024-05-06", 1, 0.0, 0.0, 0.0)]


def test_durations_keep_their_microseconds(home: TestHome) -> None:
    home.select_events()
    home.fail(["shop"], "2024-05-06T10:00:00", "2024-05-06T10:00:00.000001")
    home.fail(["shop"], "2024-05-06T11:00:00", "2024-05-06T11:00:00.000004")
    home.run()
    ((_, _, median, p90, mean),) = daily(home, RESTORES)
    assert (median, p90, mean) == pytest.approx((2.5e-6, 3.7e-6, 2.5e-6), rel=1e-6)


def test_the_median_of_an_even_number_lies_between_the_two_in_the_middle(home: TestHome) -> None:
    home.select_events()
    restore(home, "2024-05-06", 40, 10, 20, 30)
    home.run()
    assert daily(home, RESTORES) == [("2024-05-06", 4, 25.0, pytest.approx(37.0), 25.0)]


def test_p90_is_linear_between_the_two_values_next_to_it(home: TestHome) -> None:
    home.select_events()
    restore(home, "2024-05-06", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1000)
    home.run()
    assert daily(home, RESTORES) == [("2024-05-06", 11, 6.0, 10.0, pytest.approx(1055 / 11))]
    restore(home, "2024-05-07", 0, 100)
    home.run()
    assert daily(home, RESTORES)[1] == ("2024-05-07", 2, 50.0, pytest.approx(90.0), 50.0)


def test_percentiles_of_a_month_come_from_the_events_and_not_from_its_days(home: TestHome) -> None:
    home.select_events()
    restore(home, "2024-05-06", 10, 10, 10)
    restore(home, "2024-05-07", 100)
    home.run()
    assert [row[2] for row in daily(home, RESTORES)] == [10.0, 100.0]
    expected = [("2024-05-01", 4, 10.0, pytest.approx(73.0), 32.5)]
    assert summary(home, RESTORES, "month", "2024-05-01", "2024-05-31") == expected


def shop_with_commits(home: TestHome, path: Path, *authored: int) -> list[str]:
    """A repository for the service shop, its commits in one line, at these seconds after 2024-01-01."""
    history = History()
    for number, second in enumerate(authored):
        history.commit(*([number] if number else []), committed=second, authored=second)
    shas = history.write(path, {"main": len(authored)})
    home.settings(repositories={"example.com/org/app": str(path)})
    return list(shas)


def deploy_commit(home: TestHome, finished: str, sha: str) -> None:
    git = {"repository_url": "https://example.com/org/app", "commit_sha": sha}
    home.deploy("shop", finished, git=git)


def test_lead_times_are_told_over_commits_and_over_deployments(home: TestHome, tmp_path: Path) -> None:
    home.select_events()
    shas = shop_with_commits(home, tmp_path / "app.git", 0, 3600, 7200, 10_800, 90_000)
    deploy_commit(home, "2024-01-01T00:30:00", shas[1])
    deploy_commit(home, "2024-01-01T04:00:00", shas[4])
    deploy_commit(home, "2024-01-02T01:00:10", shas[5])
    home.run()
    assert daily(home, LEAD_TIMES) == [
        # Commits of 3, 2 and 1 hours in one deployment.
        ("2024-01-01", 3, 7200.0, pytest.approx(10_080.0), 7200.0, 7200.0),
        ("2024-01-02", 1, 10.0, 10.0, 10.0, 10.0),
    ]
    assert summary(home, LEAD_TIMES, "month", "2024-01-01", "2024-01-31") == [
        ("2024-01-01", 4, 5400.0, pytest.approx(9720.0), pytest.approx(21_610 / 4), 3605.0)
    ]
    by_all = home.rows(f"SELECT {LEAD_TIMES} FROM metrics.summary_by('all', 'year', '2024-01-02', '2024-01-31')")
    assert by_all == [(1, 10.0, 10.0, 10.0, 10.0)]


def test_negative_lead_times_are_kept(home: TestHome, tmp_path: Path) -> None:
    home.select_events()
    shas = shop_with_commits(home, tmp_path / "app.git", 0, 7200)
    deploy_commit(home, "2024-01-01T00:30:00", shas[1])
    deploy_commit(home, "2024-01-01T01:00:00", shas[2])
    home.run()
    assert daily(home, LEAD_TIMES) == [("2024-01-01", 1, -3600.0, -3600.0, -3600.0, -3600.0)]


def test_deployments_without_a_lead_time_do_not_lower_the_median_over_deployments(
    home: TestHome, tmp_path: Path
) -> None:
    home.select_events()
    shas = shop_with_commits(home, tmp_path / "app.git", 0, 3600)
    deploy_commit(home, "2024-01-01T00:30:00", shas[1])
    deploy_commit(home, "2024-01-01T02:00:00", shas[2])
    deploy_commit(home, "2024-01-01T03:00:00", shas[1])
    home.deploy("shop", "2024-01-01T04:00:00")
    home.run()
    assert daily(home, f"deployments, {LEAD_TIMES}") == [("2024-01-01", 4, 1, 3600.0, 3600.0, 3600.0, 3600.0)]


def test_periods_without_events_are_zero_filled_for_each_service_and_environment(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-03-06T10:00:00")
    home.fail(["cart"], "2024-05-06T10:00:00", "2024-05-06T10:01:00", env="staging")
    home.run()
    nothing = (0, 0, None, 0)
    assert summary(home, f"service, env, {COUNTS}", "month", "2024-03-01", "2024-05-31") == [
        ("2024-03-01", "cart", "staging", *nothing),
        ("2024-03-01", "shop", "prod", 1, 0, 0.0, 0),
        ("2024-04-01", "cart", "staging", *nothing),
        ("2024-04-01", "shop", "prod", *nothing),
        ("2024-05-01", "cart", "staging", 0, 1, None, 1),
        ("2024-05-01", "shop", "prod", *nothing),
    ]
    assert summary(home, f"service, {RESTORES}", "month", "2024-06-01", "2024-06-30") == [
        ("2024-06-01", "cart", 0, None, None, None),
        ("2024-06-01", "shop", 0, None, None, None),
    ]
    assert home.rows(
        f"SELECT CAST(period AS VARCHAR), env, {COUNTS} "
        "FROM metrics.summary_by('all', 'month', '2024-03-01', '2024-05-31')"
    ) == [
        ("2024-03-01", "prod", 1, 0, 0.0, 0),
        ("2024-03-01", "staging", *nothing),
        ("2024-04-01", "prod", *nothing),
        ("2024-04-01", "staging", *nothing),
        ("2024-05-01", "prod", *nothing),
        ("2024-05-01", "staging", 0, 1, None, 1),
    ]


def test_weeks_start_on_monday_and_do_not_end_with_the_year(home: TestHome) -> None:
    home.select_events()
    for day in ("2024-12-29", "2024-12-30", "2025-01-05", "2025-01-06"):
        home.deploy("shop", f"{day}T12:00:00")
    home.run()
    assert periods(home, "week", "2024-12-23", "2025-01-12") == [
        ("2024-12-23", 1),
        ("2024-12-30", 2),
        ("2025-01-06", 1),
    ]
    assert periods(home, "year", "2024-01-01", "2025-12-31") == [("2024-01-01", 2), ("2025-01-01", 2)]
    assert periods(home, "quarter", "2024-10-01", "2025-03-31") == [("2024-10-01", 2), ("2025-01-01", 2)]
    assert periods(home, "day", "2024-12-29", "2024-12-31") == [("2024-12-29", 1), ("2024-12-30", 1), ("2024-12-31", 0)]


def test_a_period_that_is_cut_counts_only_the_days_asked_for(home: TestHome) -> None:
    home.select_events()
    for day in (1, 10, 20, 31):
        home.deploy("shop", f"2024-05-{day:02}T12:00:00")
        home.fail(["shop"], f"2024-05-{day:02}T12:00:00", f"2024-05-{day:02}T12:10:00")
    home.fail(["shop"], "2024-05-09T23:00:00", "2024-05-10T23:00:00")
    home.run()
    assert summary(home, COUNTS, "month", "2024-05-10", "2024-05-20") == [("2024-05-01", 2, 2, 1.0, 3)]
    assert summary(home, COUNTS, "week", "2024-05-10", "2024-05-10") == [("2024-05-06", 1, 1, 1.0, 2)]
    assert home.rows(f"SELECT {COUNTS} FROM metrics.summary_by('team', 'year', '2024-05-10', '2024-05-20')") == [
        (2, 2, 1.0, 3)
    ]


def test_summaries_take_days_as_dates_and_as_text(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T10:00:00")
    home.run()
    asked = "(SELECT MIN(day) FROM core.deployments)", "(SELECT MAX(day) + 1 FROM core.deployments)"
    for first, last in (("'2024-05-01'", "'2024-05-31'"), ("DATE '2024-05-01'", "DATE '2024-05-31'"), asked):
        assert home.rows(f"SELECT deployments FROM metrics.summary('month', {first}, {last})") == [(1,)]
        assert home.rows(f"SELECT deployments FROM metrics.summary_by('all', 'month', {first}, {last})") == [(1,)]


def test_days_are_those_of_the_configured_zone(home: TestHome) -> None:
    home.settings(timezone="America/New_York")
    home.select_events()
    home.deploy("shop", "2024-05-07T03:59:59")
    home.deploy("shop", "2024-05-07T04:00:00")
    home.run()
    assert daily(home, "deployments") == [("2024-05-06", 1), ("2024-05-07", 1)]


def test_days_at_clock_changes_have_23_and_25_hours(home: TestHome) -> None:
    home.settings(timezone="Europe/Berlin")
    home.select_events()
    # 2024-03-31 lasts from 23:00 to 22:00 UTC, 2024-10-27 from 22:00 to 23:00 UTC.
    for moment in (
        "2024-03-30T22:59:59.999999",
        "2024-03-30T23:00:00",
        "2024-03-31T21:59:59.999999",
        "2024-03-31T22:00:00",
        "2024-10-26T21:59:59.999999",
        "2024-10-26T22:00:00",
        "2024-10-27T22:59:59.999999",
        "2024-10-27T23:00:00",
    ):
        home.deploy("shop", moment)
    home.fail(["shop"], "2024-10-26T22:00:00", "2024-10-27T22:59:59")
    home.run()
    assert daily(home, "deployments, restores") == [
        ("2024-03-30", 1, 0),
        ("2024-03-31", 2, 0),
        ("2024-04-01", 1, 0),
        ("2024-10-26", 1, 0),
        ("2024-10-27", 2, 1),
        ("2024-10-28", 1, 0),
    ]
    assert daily(home, RESTORES)[4][2] == 25 * 3600 - 1
    assert periods(home, "month", "2024-03-01", "2024-04-30") == [("2024-03-01", 3), ("2024-04-01", 1)]


def test_a_day_ends_at_the_first_of_two_midnights(home: TestHome) -> None:
    # 2024-11-03 in Havana: at 01:00 clocks go back to 00:00, so it begins at 04:00 UTC and not at 05:00.
    home.settings(timezone="America/Havana")
    home.select_events()
    home.fail(["shop"], "2024-11-02T12:00:00")
    home.run()
    (found,) = home.rows(
        "SELECT open_failures, oldest_open_seconds FROM metrics.summary('day', '2024-11-02', '2024-11-02')"
    )
    assert found == (1, 16 * 3600)


def test_another_time_zone_moves_events_to_its_days(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T23:30:00")
    home.fail(["shop"], "2024-05-06T23:30:00", "2024-05-07T00:30:00")
    home.run()
    home.settings(timezone="Europe/Berlin")
    home.run()
    assert daily(home, COUNTS) == [("2024-05-07", 1, 1, 1.0, 1)]
    before = home.tables()
    home.run(rebuild=True)
    assert home.tables() == before


def test_a_team_without_a_service_has_a_row_of_its_own(home: TestHome) -> None:
    home.select_events()
    home.fail([], "2024-05-06T10:00:00", "2024-05-06T10:01:00", team="x")
    home.fail([], "2024-05-06T11:00:00", team="y")
    home.fail(["shop"], "2024-05-06T12:00:00", team="x")
    home.run()
    assert home.rows("SELECT service, team, failures, restores FROM metrics.daily ORDER BY ALL NULLS FIRST") == [
        (None, "x", 1, 1),
        (None, "y", 1, 0),
        ("shop", "x", 1, 0),
    ]
    by_team = "SELECT member, failures, restores FROM metrics.summary_by('team', 'day', '2024-05-06', '2024-05-06')"
    assert sorted(home.rows(by_team)) == [("x", 2, 1), ("y", 1, 0)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("summary('fortnight', '2024-05-01', '2024-05-31')", "grain is one of day, week, month, quarter, year"),
        ("summary('Month', '2024-05-01', '2024-05-31')", "grain is one of day, week, month, quarter, year"),
        ("summary(NULL, '2024-05-01', '2024-05-31')", "grain is one of day, week, month, quarter, year"),
        ("summary_by('all', '', '2024-05-01', '2024-05-31')", "grain is one of day, week, month, quarter, year"),
        ("summary_by('services', 'month', '2024-05-01', '2024-05-31')", DIMENSIONS),
        ("summary_by('tag:', 'month', '2024-05-01', '2024-05-31')", DIMENSIONS),
        ("summary_by(NULL, 'month', '2024-05-01', '2024-05-31')", DIMENSIONS),
    ],
)
def test_an_unknown_grain_or_dimension_is_an_error_that_lists_the_known_ones(
    home: TestHome, call: str, message: str
) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T10:00:00")
    home.run()
    with pytest.raises(duckdb.Error, match=message):
        home.rows(f"SELECT * FROM metrics.{call}")
