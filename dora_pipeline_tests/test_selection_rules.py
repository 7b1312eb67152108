"""Which events count: the log of selections, and one deployment told by two sources."""

from collections.abc import Sequence
from typing import Any

import pytest

from dora_pipeline_tests.homes import TestHome, moment

EVENT_API, APM = "deployment_event_api", "apm_deployment_tracking"


def ready(home: TestHome, *deployments: dict[str, Any], file: str = "ready.jsonl") -> None:
    """APM tells these deployments: id, service, finished, and attributes."""
    items = []
    for told in deployments:
        attributes = {"service": "shop", "env": "prod", **told}
        finished = attributes.pop("finished") + "Z"
        attributes = {"started_at": finished, **attributes, "finished_at": finished}
        items.append({"type": "dora_deployment", "id": attributes.pop("id"), "attributes": attributes})
    home.drop_export(file, items)


def counting(home: TestHome) -> list[str]:
    """The deployments that metrics count."""
    rows = home.rows(
        "SELECT deployment_id FROM core.deployments WHERE is_selected AND duplicate_of IS NULL ORDER BY deployment_id"
    )
    (total,) = home.rows("SELECT COALESCE(SUM(deployments), 0) FROM metrics.daily")[0]
    assert total == len(rows)
    return [deployment_id for (deployment_id,) in rows]


def duplicates(home: TestHome) -> list[tuple[str, str]]:
    return home.rows(
        "SELECT deployment_id, duplicate_of FROM core.deployments WHERE duplicate_of IS NOT NULL ORDER BY deployment_id"
    )  # type: ignore[return-value]


def known(home: TestHome) -> list[str]:
    return [row[0] for row in home.rows("SELECT deployment_id FROM core.deployments ORDER BY deployment_id")]


def test_an_event_counts_from_the_moment_its_source_was_first_selected(home: TestHome) -> None:
    home.select_events(at=moment("2024-05-06 12:00:00"))
    home.deploy("shop", "2024-05-06T11:59:59.999999", id="before")
    home.deploy("shop", "2024-05-06T12:00:00", id="at")
    home.deploy("shop", "2024-05-06T12:00:02", started_at="2024-05-06T11:00:00Z", id="begun-before")
    home.fail(["shop"], "2024-05-06T11:59:59.999999", "2024-05-06T13:00:00", id="before")
    home.fail(["shop"], "2024-05-06T12:00:00", id="at")
    home.run()
    assert known(home) == ["at", "begun-before"]
    assert home.rows("SELECT failure_id FROM core.failures") == [("at",)]
    assert home.rows("SELECT deployments, failures, restores FROM metrics.daily") == [(2, 1, 0)]


def test_what_was_told_before_the_first_selection_and_could_not_be_used_is_not_counted_as_rejected(
    home: TestHome,
) -> None:
    home.select_events(at=moment("2024-05-06 12:00:00"))
    home.deploy("", "2024-05-06T11:00:00")
    home.deploy("", "2024-05-06T13:00:00")
    home.run()
    assert home.rows("SELECT reason, occurred_at FROM core.rejected_events") == [
        ("service_missing", moment("2024-05-06 13:00:00"))
    ]


def test_what_is_rejected_for_its_end_is_of_the_day_of_its_start_else_of_its_receipt(home: TestHome) -> None:
    home.select("deployment", EVENT_API, APM, at=moment("2024-05-06 00:00:00"))
    home.select("failure", "failure_event_api", at=moment("2024-05-06 00:00:00"))
    start, received = "2024-05-06T12:00:00Z", "2024-05-07 12:00:00"
    ends = ("2019-01-01T00:00:00", "2032-01-01T00:00:00")
    for end in ends:
        home.deploy("shop", end, started_at=start, received=received, id=f"sent-{end}")
        home.deploy("future", end, started_at="2031-01-01T00:00:00Z", received=received, id=f"future-{end}")
        home.fail(["shop"], "2024-05-06T12:00:00", end, received=received, id=f"sent-{end}")
    ready(home, *({"id": end, "started_at": start, "finished": end} for end in ends))
    home.run()
    assert home.rows(
        "SELECT source, service, CAST(day AS VARCHAR), COUNT(*) FROM core.rejected_events GROUP BY ALL ORDER BY ALL"
    ) == [
        (APM, "shop", "2024-05-06", 2),
        (EVENT_API, "future", "2024-05-07", 2),
        (EVENT_API, "shop", "2024-05-06", 2),
        ("failure_event_api", "shop", "2024-05-06", 2),
    ]


def test_reselecting_a_source_shows_its_whole_history(home: TestHome) -> None:
    home.select("deployment", EVENT_API, at=moment("2024-05-01 00:00:00"))
    for day in (1, 3, 5):
        home.deploy("shop", f"2024-05-0{day}T08:00:00", id=f"api-{day}", version=str(day))
    ready(home, *({"id": str(day), "finished": f"2024-05-0{day}T09:00:00", "version": f"w{day}"} for day in (1, 3, 5)))
    home.run()
    assert counting(home) == ["api-1", "api-3", "api-5"]

    home.select("deployment", APM, at=moment("2024-05-02 00:00:00"))
    home.run()
    assert counting(home) == ["apm:3", "apm:5"]
    assert known(home) == ["api-1", "api-3", "api-5", "apm:3", "apm:5"]

    home.select("deployment", EVENT_API, at=moment("2024-05-04 00:00:00"))
    home.run()
    assert counting(home) == ["api-1", "api-3", "api-5"]
    assert known(home) == ["api-1", "api-3", "api-5", "apm:3", "apm:5"]


def test_a_source_that_is_not_selected_any_more_is_still_populated(home: TestHome) -> None:
    home.select("deployment", EVENT_API, at=moment("2024-05-01 00:00:00"))
    home.select("deployment", APM, at=moment("2024-05-02 00:00:00"))
    home.deploy("shop", "2024-05-03T08:00:00", id="first")
    home.run()
    home.deploy("shop", "2024-05-04T08:00:00", id="second")
    home.run()
    assert home.rows("SELECT deployment_id, is_selected FROM core.deployments ORDER BY ALL") == [
        ("first", False),
        ("second", False),
    ]
    assert home.rows("SELECT * FROM metrics.daily") == []
    home.select("deployment", EVENT_API, at=moment("2024-05-05 00:00:00"))
    home.run()
    assert counting(home) == ["first", "second"]


def test_switching_there_and_back_ends_in_the_same_metrics(home: TestHome) -> None:
    home.select("deployment", EVENT_API, at=moment("2024-05-01 00:00:00"))
    home.select("failure", "failure_event_api", at=moment("2024-05-01 00:00:00"))
    home.deploy("shop", "2024-05-03T08:00:00", id="one", version="1")
    home.deploy("shop", "2024-05-04T08:00:00", id="two", version="2")
    home.fail(["shop"], "2024-05-03T10:00:00", "2024-05-04T10:00:00")
    ready(home, {"id": "one", "finished": "2024-05-03T08:01:00", "version": "1"})
    home.run()
    before = home.tables()
    home.select("deployment", APM, EVENT_API, at=moment("2024-05-02 00:00:00"))
    home.run()
    assert home.tables()["metrics.daily"] == before["metrics.daily"]
    assert duplicates(home) == [("one", "apm:one")]
    home.select("deployment", EVENT_API, at=moment("2024-05-05 00:00:00"))
    home.run()
    after = home.tables()
    assert after["metrics.daily"] == before["metrics.daily"]
    assert after["core.failures"] == before["core.failures"]
    assert duplicates(home) == []


def test_a_deployment_told_by_two_sources_counts_once_up_to_exactly_the_merge_window(home: TestHome) -> None:
    home.select("deployment", EVENT_API, APM)
    home.deploy("shop", "2024-05-06T10:00:00", id="one", version="1")
    home.deploy("shop", "2024-05-06T12:00:00", id="two", version="2")
    home.deploy("shop", "2024-05-06T14:00:00", id="three", version="3")
    home.deploy("shop", "2024-05-06T16:00:00", id="four", version="4")
    ready(
        home,
        {"id": "one", "finished": "2024-05-06T10:10:00", "version": "1"},
        {"id": "two", "finished": "2024-05-06T12:10:00.000001", "version": "2"},
        {"id": "three", "finished": "2024-05-06T13:50:00", "version": "3"},
        {"id": "four", "finished": "2024-05-06T15:49:59.999999", "version": "4"},
    )
    home.run()
    assert duplicates(home) == [("apm:one", "one"), ("apm:three", "three")]
    assert counting(home) == ["apm:four", "apm:two", "four", "one", "three", "two"]


@pytest.mark.parametrize(("order", "expected"), [((EVENT_API, APM), ["one"]), ((APM, EVENT_API), ["apm:one"])])
def test_the_source_listed_first_wins(home: TestHome, order: Sequence[str], expected: list[str]) -> None:
    home.select("deployment", *order)
    home.deploy("shop", "2024-05-06T10:00:00", id="one", version="1")
    ready(home, {"id": "one", "finished": "2024-05-06T10:05:00", "version": "1"})
    home.run()
    assert counting(home) == expected
    assert known(home) == ["apm:one", "one"]
    assert home.rows("SELECT COUNT(*) FROM core.deployments WHERE is_selected") == [(2,)]


def test_reordering_the_selected_sources_changes_which_one_wins(home: TestHome) -> None:
    home.select("deployment", EVENT_API, APM, at=moment("2024-05-01 00:00:00"))
    home.deploy("shop", "2024-05-06T10:00:00", id="one", version="1")
    ready(home, {"id": "one", "finished": "2024-05-06T10:05:00", "version": "1"})
    home.run()
    home.select("deployment", APM, EVENT_API, at=moment("2024-05-02 00:00:00"))
    home.run()
    assert counting(home) == ["apm:one"]


def test_the_same_deployment_of_an_unselected_source_is_no_duplicate(home: TestHome) -> None:
    home.select("deployment", APM, EVENT_API, at=moment("2024-05-01 00:00:00"))
    home.select("deployment", EVENT_API, at=moment("2024-05-02 00:00:00"))
    home.deploy("shop", "2024-05-06T10:00:00", id="one", version="1")
    ready(home, {"id": "one", "finished": "2024-05-06T10:05:00", "version": "1"})
    home.run()
    assert counting(home) == ["one"]
    assert duplicates(home) == []


def test_deployments_of_two_sources_merge_by_version_or_by_commit(home: TestHome) -> None:
    home.select("deployment", EVENT_API, APM)
    one, other = "a" * 40, "b" * 40
    home.deploy("shop", "2024-05-06T10:00:00", id="version", version="1", git={"commit_sha": one})
    home.deploy("shop", "2024-05-06T12:00:00", id="commit", version="2", git={"commit_sha": one})
    home.deploy("shop", "2024-05-06T14:00:00", id="neither", version="3", git={"commit_sha": one})
    home.deploy("shop", "2024-05-06T16:00:00", id="nothing")
    ready(
        home,
        {"id": "version", "finished": "2024-05-06T10:01:00", "version": "1", "git": {"commit_sha": other}},
        {"id": "commit", "finished": "2024-05-06T12:01:00", "version": "two", "git": {"commit_sha": one}},
        {"id": "neither", "finished": "2024-05-06T14:01:00", "version": "4", "git": {"commit_sha": other}},
        {"id": "nothing", "finished": "2024-05-06T16:01:00"},
    )
    home.run()
    assert duplicates(home) == [("apm:commit", "commit"), ("apm:version", "version")]


def test_deployments_of_other_environments_or_services_do_not_merge(home: TestHome) -> None:
    home.settings(environments={"production": ["prod"]})
    home.select("deployment", EVENT_API, APM)
    home.deploy("shop", "2024-05-06T10:00:00", id="env", version="1", env="staging")
    home.deploy("shop", "2024-05-06T12:00:00", id="service", version="2")
    home.deploy("shop", "2024-05-06T14:00:00", id="none", version="3", env=None)
    home.deploy("shop", "2024-05-06T16:00:00", id="alias", version="4", env="production")
    ready(
        home,
        {"id": "env", "finished": "2024-05-06T10:00:00", "version": "1", "env": "prod"},
        {"id": "service", "finished": "2024-05-06T12:00:00", "version": "2", "service": "Shop"},
        {"id": "none", "finished": "2024-05-06T14:00:00", "version": "3", "env": None},
        {"id": "alias", "finished": "2024-05-06T16:00:00", "version": "4", "env": "prod"},
    )
    home.run()
    assert duplicates(home) == [("apm:alias", "alias"), ("apm:none", "none")]


@pytest.mark.parametrize("order", [(EVENT_API, APM), (APM, EVENT_API)])
def test_deployments_merge_across_midnight_of_the_configured_zone(home: TestHome, order: Sequence[str]) -> None:
    home.settings(timezone="Europe/Berlin")
    home.select("deployment", *order)
    home.deploy("shop", "2024-05-06T21:57:00", id="one", version="1")
    home.deploy("shop", "2024-05-07T22:03:00", id="two", version="2")
    ready(
        home,
        {"id": "one", "finished": "2024-05-06T22:03:00", "version": "1"},
        {"id": "two", "finished": "2024-05-07T21:57:00", "version": "2"},
    )
    home.run()
    names = {EVENT_API: ["one", "two"], APM: ["apm:one", "apm:two"]}
    assert counting(home) == names[order[0]]
    assert [row[0] for row in duplicates(home)] == names[order[1]]
    days = {EVENT_API: ["2024-05-06", "2024-05-08"], APM: ["2024-05-07", "2024-05-07"]}
    assert home.rows("SELECT CAST(day AS VARCHAR), SUM(deployments) FROM metrics.daily GROUP BY day ORDER BY day") == [
        (day, days[order[0]].count(day)) for day in sorted(set(days[order[0]]))
    ]


def test_a_merge_window_of_twelve_hours_is_honoured(home: TestHome) -> None:
    home.settings(merge_window="12h")
    home.select("deployment", EVENT_API, APM)
    home.deploy("shop", "2024-05-06T18:00:00", id="one", version="1")
    home.deploy("shop", "2024-05-08T18:00:00", id="two", version="2")
    ready(
        home,
        {"id": "one", "finished": "2024-05-07T06:00:00", "version": "1"},
        {"id": "two", "finished": "2024-05-09T06:00:00.000001", "version": "2"},
    )
    home.run()
    assert duplicates(home) == [("apm:one", "one")]


def test_a_duplicate_that_is_told_later_is_marked_and_counts_no_more(home: TestHome) -> None:
    home.select("deployment", EVENT_API, APM)
    ready(home, {"id": "one", "finished": "2024-05-06T00:05:00", "version": "1"})
    home.run()
    assert counting(home) == ["apm:one"]
    home.deploy("shop", "2024-05-05T23:58:00", id="one", version="1")
    home.run()
    assert counting(home) == ["one"]
    assert home.rows("SELECT CAST(day AS VARCHAR), deployments FROM metrics.daily") == [("2024-05-05", 1)]


def test_one_sources_own_repetition_of_a_version_is_no_duplicate(home: TestHome) -> None:
    home.select("deployment", EVENT_API, APM)
    home.deploy("shop", "2024-05-06T10:00:00", id="one", version="1")
    home.deploy("shop", "2024-05-06T10:05:00", id="two", version="1")
    home.run()
    assert counting(home) == ["one", "two"]
    assert home.rows("SELECT deployment_id, kind FROM core.deployments ORDER BY finished_at") == [
        ("one", "standard"),
        ("two", "redeploy"),
    ]


def test_deployments_are_standard_redeploys_or_rollbacks_by_what_went_live_before(home: TestHome) -> None:
    home.select_events()
    for hour, version in enumerate(("1", "2", "2", "1", "3", "2", None)):
        home.deploy("shop", f"2024-05-06T1{hour}:00:00", version=version)
    home.deploy("shop", "2024-05-06T11:30:00", version="1", env="staging")
    home.run()
    assert home.rows("SELECT env, kind FROM core.deployments ORDER BY env, finished_at") == [
        ("prod", "standard"),
        ("prod", "standard"),
        ("prod", "redeploy"),
        ("prod", "rollback"),
        ("prod", "standard"),
        ("prod", "standard"),
        ("prod", "standard"),
        ("staging", "standard"),
    ]


def test_a_ready_event_that_stands_in_two_exports_is_one_deployment(home: TestHome) -> None:
    home.select("deployment", APM)
    one, two, three = ({"id": str(hour), "finished": f"2024-05-06T1{hour}:00:00", "version": "1"} for hour in (1, 2, 3))
    ready(home, one, two, file="first.jsonl")
    ready(home, two, three, file="second.jsonl")
    home.run()
    assert counting(home) == ["apm:1", "apm:2", "apm:3"]
    assert home.rows("SELECT reason FROM core.rejected_events") == []


def test_a_ready_event_stays_while_one_of_two_exports_tells_it(home: TestHome) -> None:
    home.select("deployment", APM)
    one, two, three = ({"id": str(hour), "finished": f"2024-05-06T1{hour}:00:00", "version": "1"} for hour in (1, 2, 3))
    ready(home, one, two, file="first.jsonl")
    ready(home, two, three, file="second.jsonl")
    home.run()
    ready(home, one, file="first.jsonl")
    home.run()
    assert counting(home) == ["apm:1", "apm:2", "apm:3"]


def test_a_ready_event_that_two_exports_date_differently_stays_one_deployment_whatever_else_comes(
    home: TestHome,
) -> None:
    home.select("deployment", APM)
    ready(home, {"id": "moved", "finished": "2024-05-16T10:00:00", "version": "1"}, file="a.jsonl")
    ready(home, {"id": "moved", "finished": "2024-05-06T10:00:00", "version": "1"}, file="b.jsonl")
    home.run()
    assert counting(home) == ["apm:moved"]
    ready(home, {"id": "later", "finished": "2024-05-17T10:00:00", "version": "2"}, file="c.jsonl")
    home.run()
    assert counting(home) == ["apm:later", "apm:moved"]
    before = home.tables()
    home.run(rebuild=True)
    assert home.tables() == before
