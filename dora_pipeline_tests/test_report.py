"""The report page: its figures against counts by hand, what it says where there is no data, and hostile names."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dora_pipeline.assets.report_asset import REPORT, report_asset
from dora_pipeline.assets.resources import Warehouse
from dora_pipeline.definitions import definitions
from dora_pipeline.errors import WarehouseError
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.reports import ReportError, write_report
from dora_pipeline.report.words import duration_text, share_text, web_address
from dora_pipeline_tests.command import call
from dora_pipeline_tests.dagster_runs import days_run
from dora_pipeline_tests.git_histories import History
from dora_pipeline_tests.homes import TestHome, moment
from dora_pipeline_tests.report_pages import Element, caption, card, environment, page, queries, rows, values

REPOSITORY = "github.com/organization/shop"
SERVICES, TEAMS = "Services in these", "Teams in these"
HOSTILE = """</script><script>alert(1)</script><img src=x onerror=alert(2)>"'&"""


def _seconds(text: str) -> int:
    return int((moment(text) - datetime(2024, 1, 1, tzinfo=UTC)).total_seconds())


def _fill(home: TestHome) -> None:
    """The 30 days to 2024-05-30: 3 production deployments, 3 failures, 2 restores; before: 1 of each."""
    clone = home.home.path.with_name("shop.git")
    home.settings(environments={"production": ["prod"]}, repositories={REPOSITORY: str(clone)})
    history, newest = History(), ()
    for authored in (
        "2024-03-01 00:00:00",
        "2024-04-10 08:00:00",
        "2024-05-06 09:00:00",
        "2024-05-06 07:00:00",
        "2024-05-20 05:00:00",
    ):
        newest = (history.commit(*newest, authored=_seconds(authored)),)
    shas = history.write(clone, {"main": newest[0]})
    for finished, commit in (
        ("2024-03-20 10:00:00", 1),
        ("2024-04-10 10:00:00", 2),
        ("2024-05-06 10:00:00", 4),
        ("2024-05-20 10:00:00", 5),
    ):
        git = {"repository_url": f"https://{REPOSITORY}", "commit_sha": shas[commit]}
        home.deploy("shop", finished, version=shas[commit][:7], git=git, team="sales")
    home.deploy("shop", "2024-05-30 10:00:00", version="untraced", team="sales")
    for time in ("10:00:00", "11:00:00", "12:00:00", "13:00:00"):
        home.deploy("shop", f"2024-05-10 {time}", env="staging", version=time, team="sales")
    home.fail(["shop"], "2024-04-11 10:00:00", "2024-04-11 10:30:00", team="sales")
    home.fail(["shop"], "2024-05-07 11:00:00", "2024-05-07 12:30:00", team="sales")
    home.fail(["shop"], "2024-05-21 10:00:00", team="sales", name="still broken")
    home.fail(["shop", "web"], "2024-05-22 10:00:00", "2024-05-22 11:00:00", team="sales")
    home.select_events()
    home.run()


def _report(home: TestHome, days: int = 30) -> Element:
    return page(write_report(home.home, days=days).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home that was filled once, for the tests that only read it."""
    home = TestHome(tmp_path_factory.mktemp("filled") / "home")
    _fill(home)
    return home


# Figures


def test_the_cards_show_the_last_thirty_days_of_production_against_the_thirty_before(filled: TestHome) -> None:
    root = _report(filled)
    number, text = card(root, "production", "Deployment frequency")
    assert number == 3
    assert "0.7 a week over 30 days" in text
    assert "+2: more than in the 30 days before (1)." in text
    number, text = card(root, "production", "Change lead time")
    assert number == 3 * 3600
    assert "3.0 h median over 3 commits 90th percentile 4.6 h, mean 3.0 h" in text
    # The means of its two deployments are 2 and 5 hours.
    assert "Median over deployments: 3.5 h" in text
    assert "+1.0 h: longer than in the 30 days before (2.0 h, 1 commit)." in text
    number, text = card(root, "production", "Change failure rate")
    assert number == 1.0
    assert "100.0 % 3 failures, 3 deployments Few deployments: one failure more adds 33.3 points." in text
    assert "As high as in the 30 days before (100.0 %, 1 failure, 1 deployment)." in text
    number, text = card(root, "production", "Time to restore")
    assert number == 4500
    assert "1.3 h median of 2 restored failures" in text
    assert "1 failure is open at the end and not in it." in text
    assert "+45.0 min: longer than in the 30 days before (30.0 min, 1 restore)." in text


def test_production_comes_first_and_staging_is_apart(filled: TestHome) -> None:
    root = _report(filled)
    names = [section.attributes["data-env"] for section in root.all("section") if "data-env" in section.attributes]
    assert names == ["production", "staging"]
    assert card(root, "staging", "Deployment frequency")[0] == 4
    assert card(root, "staging", "Change failure rate")[0] == 0.0


def test_services_and_teams_have_figures_of_their_own(filled: TestHome) -> None:
    root = _report(filled)
    assert [[*row[:2], *row[3:7], row[-1]] for row in rows(root, SERVICES)] == [
        ["shop sales", "production", "3", "3.0 h 3 commits", "100.0 % 3 failures", "1.3 h 2 restores", "1"],
        ["web sales", "production", "0", "no data 0 commits", "no data 1 failure", "1.0 h 1 restore", "0"],
        ["shop sales", "staging", "4", "no data 0 commits", "0.0 % 0 failures", "no data 0 restores", "0"],
    ]
    assert values(root, TEAMS)[0][3:7] == [3, 10800, 1.0, 4500]


def test_a_failure_of_two_services_counts_once_for_their_team(filled: TestHome) -> None:
    assert rows(_report(filled), TEAMS)[0][5] == "100.0 % 3 failures"


@pytest.mark.parametrize(("dimension", "name"), [("env", "production"), ("env", "staging")])
def test_figures_are_those_of_the_summary_over_the_same_days(filled: TestHome, dimension: str, name: str) -> None:
    ((expected),) = filled.rows(
        "SELECT deployments, lead_time_p50_seconds, change_failure_rate, time_to_restore_p50_seconds "
        "FROM metrics.summary_by(?, 'month', DATE '2024-05-01', DATE '2024-05-31') WHERE env = ?",
        dimension,
        name,
    )
    root = _report(filled)
    titles = ("Deployment frequency", "Change lead time", "Change failure rate", "Time to restore")
    assert tuple(card(root, name, title)[0] for title in titles) == expected


def test_figures_of_services_are_those_of_the_summary_over_the_same_days(filled: TestHome) -> None:
    expected = filled.rows(
        "SELECT deployments, lead_time_p50_seconds, change_failure_rate, time_to_restore_p50_seconds "
        "FROM metrics.summary('month', DATE '2024-05-01', DATE '2024-05-31') ORDER BY env, service"
    )
    assert [tuple(row[3:7]) for row in values(_report(filled), SERVICES)] == expected


def test_medians_of_a_period_over_two_years_come_from_its_events(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-11-01 10:00:00", version="0")
    home.deploy("shop", "2025-01-10 10:00:00", version="1")
    for day, hours in (("2024-12-20", 1), ("2024-12-21", 1), ("2025-01-05", 9)):
        home.fail(["shop"], f"{day} 10:00:00", f"{day} {10 + hours}:00:00")
    home.run()
    # The median of the years' medians would be 5 hours.
    assert card(_report(home), "prod", "Time to restore")[0] == 3600


def test_each_copied_query_runs_and_gives_the_figures_of_the_page(filled: TestHome) -> None:
    told = queries(_report(filled))
    for text in told.values():
        filled.rows(text)
    (production,) = (row for row in filled.rows(told["Cards"]) if (row[0], row[2]) == ("env", "production"))
    assert (production[4], production[6], production[8], production[14]) == (3, 1.0, 10800, 4500)


def test_the_length_of_the_period_can_be_chosen(filled: TestHome) -> None:
    root = _report(filled, 7)
    assert card(root, "production", "Deployment frequency")[0] == 1
    assert "from 2024-05-24 to 2024-05-30" in root.all("p")[0].text


def test_days_are_those_of_the_time_zone(home: TestHome) -> None:
    home.settings(timezone="Europe/Berlin")
    home.select_events()
    home.deploy("shop", "2024-05-30 22:30:00")
    home.run()
    root = _report(home)
    assert "to 2024-05-31" in root.all("p")[0].text
    assert "2024-05-31 00:30:00+02:00" in rows(root, "The newest deployments")[0][0]


# No data, and zero


def test_one_event_alone_gives_a_page_that_compares_nothing(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00")
    home.run()
    root = _report(home)
    number, text = card(root, "prod", "Deployment frequency")
    assert number == 1
    assert "7.0 a week" not in text
    assert "1.0 a day over the 1 day since the first deployment of the environment" in text
    assert "Not compared: no data for the whole of the 30 days before." in text
    number, text = card(root, "prod", "Change lead time")
    assert number is None
    assert "no data median over 0 commits" in text
    number, text = card(root, "prod", "Change failure rate")
    assert number == 0.0
    assert "0.0 % 0 failures, 1 deployment" in text
    number, text = card(root, "prod", "Time to restore")
    assert number is None
    assert "no data median of 0 restored failures" in text


def test_without_a_source_of_failures_there_is_no_rate_rather_than_zero(home: TestHome) -> None:
    home.select("deployment", "deployment_event_api")
    home.deploy("shop", "2024-05-06 10:00:00")
    home.run()
    root = _report(home)
    number, text = card(root, "prod", "Change failure rate")
    assert number is None
    assert "No source of failures is selected." in text
    assert [rows(root, SERVICES)[0][place] for place in (4, 5, -1)] == ["no data no data", "no data no data", "no data"]


def test_failures_that_are_told_only_since_a_day_are_not_compared_with_the_time_before(home: TestHome) -> None:
    home.select("deployment", "deployment_event_api")
    home.select("failure", "failure_event_api", at=moment("2024-05-10 12:00:00"))
    for day in ("2024-03-01", "2024-04-20", "2024-05-20"):
        home.deploy("shop", f"{day} 10:00:00", version=day)
    home.run()
    root = _report(home)
    number, text = card(root, "prod", "Change failure rate")
    assert number is None
    assert "Failures are known only since 2024-05-10." in text
    assert "A rate needs a period that begins on 2024-05-11 or later, as dora report --days 10 shows it." in text
    assert "Not compared" in text
    months = rows(root, "prod, by month")
    assert [row[3] for row in months[:3]] == ["no data 0 failures", "no data no data", "no data no data"]
    assert months[0][0] == "2024-05, in part"


def test_a_period_without_deployments_has_zero_of_them_and_no_rate(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-01-10 10:00:00")
    home.fail(["shop"], "2024-05-20 10:00:00", "2024-05-20 11:00:00")
    home.run()
    root = _report(home)
    number, text = card(root, "prod", "Deployment frequency")
    assert number == 0
    assert "As many as in the 30 days before (0)." in text
    assert card(root, "prod", "Change failure rate")[0] is None


def test_an_empty_warehouse_gives_a_page_that_says_so(home: TestHome) -> None:
    home.select_events()
    home.run()
    root = _report(home)
    assert "There is no event of a selected source yet" in root.text
    assert not root.all("article")
    assert "no data" in root.all("dl")[0].text


def test_rejected_events_are_told_of_though_nothing_else_is(home: TestHome) -> None:
    home.select_events()
    home.fail([], "2024-05-06 10:00:00")
    home.run()
    ((reason,),) = home.rows("SELECT reason FROM core.rejected_events")
    assert [row[0] for row in rows(_report(home), "Events that could not be used")] == [reason]


# Trends


def _titles(section: Element, chart: str) -> list[str]:
    (figure,) = (item for item in section.all("figure") if item.all("strong")[0].text == chart)
    return [title.text for title in figure.all("title")]


def test_trends_have_zeros_where_nothing_was_deployed_and_gaps_where_nothing_is_known(filled: TestHome) -> None:
    months = environment(_report(filled), "production").all("div", "charts")[0]
    before = [*(f"2023-{month:02}: 0" for month in range(6, 13)), "2024-01: 0", "2024-02: 0"]
    assert _titles(months, "Deployments") == [*before, "2024-03: 1", "2024-04: 1", "2024-05, in part: 3"]
    assert _titles(months, "Change lead time, median over commits") == [
        "2024-04: 2.0 h (1 commit)",
        "2024-05, in part: 3.0 h (3 commits)",
    ]
    assert _titles(months, "Change failure rate") == [
        "2024-03: 0.0 % (0 failures, 1 deployment)",
        "2024-04: 100.0 % (1 failure, 1 deployment)",
        "2024-05, in part: 100.0 % (3 failures, 3 deployments)",
    ]


def test_a_month_without_deployments_is_a_bar_of_zero_and_breaks_the_line_of_lead_times(home: TestHome) -> None:
    home.select_events()
    for day in ("2024-01-10", "2024-02-10", "2024-04-10", "2024-05-10"):
        home.deploy("shop", f"{day} 10:00:00", version=day)
    home.run()
    months = environment(_report(home), "prod").all("div", "charts")[0]
    assert _titles(months, "Deployments")[-3:] == ["2024-03: 0", "2024-04: 1", "2024-05, in part: 1"]
    # The three rates are not known in March: two lines of two months each.
    assert [len(line.attributes["points"].split()) for line in months.all("polyline")] == [2, 2] * 3
    assert "No data in 8 of 12 months." in months.text


def test_weeks_begin_on_monday_and_count_every_event_of_the_year(filled: TestHome) -> None:
    weeks = rows(_report(filled), "production, by week")
    assert weeks[0][:2] == ["week of 2024-05-27, in part", "1"]
    assert [row[1] for row in weeks if row[1] not in ("0", "no data")] == ["1", "1", "1", "1", "1"]
    assert [row[0] for row in weeks][-1] == "week of 2023-05-29"


def test_every_picture_says_in_words_what_it_shows(filled: TestHome) -> None:
    pictures = [picture for picture in _report(filled).all("svg") if "aria-hidden" not in picture.attributes]
    assert pictures
    for picture in pictures:
        assert picture.attributes["role"] == "img"
        assert re.search(r"(Lowest|Only value) .*\(|most often", picture.attributes["aria-label"])


# Quality, and tracing


def test_open_failures_and_missing_lead_times_are_listed(filled: TestHome) -> None:
    root = _report(filled)
    ((started, *named, restored, time_to_restore, source, failure_id),) = rows(root, "Failures that are open")
    assert (started, named) == ("2024-05-21 10:00:00+00:00", ["shop", "production", "sales", "still broken"])
    assert (restored, time_to_restore, source) == ("open", "no data", "failure_event_api")
    assert filled.rows("SELECT name FROM core.failures WHERE failure_id = ?", failure_id) == [("still broken",)]
    assert [tuple(row) for row in rows(root, "They count as deployments")] == [
        ("the event names no commit", "staging", "4", "4"),
        ("the event names no commit", "production", "1", "1"),
        ("first deployment: there is none before it to count from", "production", "0", "1"),
    ]


def test_negative_lead_times_are_counted_and_kept(home: TestHome) -> None:
    clone = home.home.path.with_name("shop.git")
    home.settings(repositories={REPOSITORY: str(clone)})
    history = History()
    first = history.commit(authored=0)
    second = history.commit(first, authored=_seconds("2024-05-06 10:01:30"))
    shas = history.write(clone, {"main": second})
    home.select_events()
    for finished, commit in (("2024-05-05 10:00:00", first), ("2024-05-06 10:00:00", second)):
        git = {"repository_url": f"https://{REPOSITORY}", "commit_sha": shas[commit]}
        home.deploy("shop", finished, git=git)
    home.run()
    root = _report(home)
    number, text = card(root, "prod", "Change lead time")
    assert number == -90
    assert "−1.5 min" in text
    assert [row[1:] for row in rows(root, "These are in the figures") if "negative" in row[0]] == [["1", "1"]]


def test_rejected_events_are_counted_by_reason(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-03-06 10:00:00", version="1")
    for id_ in ("one", "two", "three"):
        home.deploy("shop", "2024-05-06 10:00:00", version=id_, id=id_)
    home.run()
    assert rows(_report(home), "Events that could not be used") == [
        ["same_second", "deployment", "deployment_event_api", "2", "2", "2024-05-06 10:00:00+00:00"]
    ]


def test_the_newest_events_have_the_ids_of_their_rows(filled: TestHome) -> None:
    told = rows(_report(filled), "The newest deployments")
    assert [row[0] for row in told][:2] == ["2024-05-30 10:00:00+00:00", "2024-05-20 10:00:00+00:00"]
    expected = filled.rows("SELECT deployment_id FROM core.deployments ORDER BY finished_at DESC")
    assert [row[-1] for row in told] == [row[0] for row in expected]


def test_the_page_says_from_when_the_data_is(filled: TestHome) -> None:
    ((read_at,),) = filled.rows("SELECT MAX(read_at) FROM landing.source_states")
    facts = _report(filled).all("dl")[0].text
    assert "Newest event 2024-05-30 10:00:00+00:00" in facts
    assert read_at.strftime("%Y-%m-%d %H:%M:%S") in facts
    assert "deployment_event_api, since 2020-01-01 00:00:00+00:00" in facts
    assert "failure_event_api, since 2020-01-01 00:00:00+00:00" in facts


# Safety


def test_names_are_text_whatever_they_hold(home: TestHome) -> None:
    home.select_events()
    home.deploy(HOSTILE, "2024-05-06 10:00:00", env=HOSTILE, team=HOSTILE, version=HOSTILE)
    home.fail([HOSTILE], "2024-05-06 11:00:00", env=HOSTILE, team=HOSTILE, name=HOSTILE)
    home.run()
    root = _report(home)
    assert len(root.all("script")) == 1
    assert not root.all("img")
    assert not [name for element in root.below() for name in element.attributes if name.startswith("on")]
    assert not root.all("a")
    assert environment(root, HOSTILE).attributes["data-env"] == HOSTILE
    assert rows(root, SERVICES)[0][0] == f"{HOSTILE} {HOSTILE}"
    assert root.all("option")[1].text == HOSTILE


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (None, None),
        ("https://status.example.com/1?a=1&b=2", "https://status.example.com/1?a=1&b=2"),
        ("HTTP://user:password@status.example.com/1", "HTTP://status.example.com/1"),
        ("javascript:alert(3)//https://status.example.com", None),
        (" https://status.example.com", None),
        ("https://status.example.com/" + "a" * 2000, None),
    ],
)
def test_only_addresses_of_the_web_are_links_and_none_holds_a_password(url: str | None, address: str | None) -> None:
    assert web_address(url) == address


def test_the_page_asks_for_nothing_from_anywhere(filled: TestHome) -> None:
    text = write_report(filled.home).read_text(encoding="utf-8")
    root = page(text)
    assert not [element for element in root.below() if {"src", "href", "srcset", "action"} & element.attributes.keys()]
    assert not {element.tag for element in root.below()} & {"link", "img", "iframe", "object", "embed", "base"}
    assert "@import" not in text
    assert "url(" not in text
    assert "://" not in text
    policies = [item.attributes.get("content", "") for item in root.all("meta") if "http-equiv" in item.attributes]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; style-src 'sha256-")


def test_long_names_do_not_make_a_long_page(home: TestHome) -> None:
    home.select_events()
    home.deploy("s" * 100_000, "2024-05-06 10:00:00", version="v" * 100_000)
    home.run()
    assert write_report(home.home).stat().st_size < 200_000


def test_what_is_left_out_is_said(home: TestHome) -> None:
    home.select_events()
    bodies = [
        {
            "service": f"service {number:03}",
            "env": f"env {max(number - 503, 0)}",
            "started_at": "2024-05-06T10:00:00Z",
            "finished_at": "2024-05-06T10:00:00Z",
        }
        for number in range(512)
    ]
    with EventStore.at(home.home) as store:
        store.append_many("deployment", bodies, received_at=[moment("2024-05-06 10:00:00")] * len(bodies))
    home.run()
    root = _report(home)
    assert len(rows(root, SERVICES)) == 500
    assert "1 to 500 of 509 rows are shown." in caption(root, SERVICES)
    assert "6 of 9 environments are shown; 3 are left out." in root.text


# The file


def test_the_same_warehouse_gives_the_same_page(filled: TestHome) -> None:
    first = write_report(filled.home).read_bytes()
    assert write_report(filled.home).read_bytes() == first


def test_what_only_the_clock_says_is_not_on_the_page(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%d %H:%M:%S}")
    home.run()
    days = "CURRENT_DATE - 1, CURRENT_DATE"
    assert (True,) in home.rows(f"SELECT is_provisional FROM metrics.summary('day', {days})")
    assert ", provisional" not in _report(home).text


def test_the_command_writes_the_page_and_prints_its_path(filled: TestHome) -> None:
    answer = call(filled.home.path, "report", "--days", "7")
    assert answer.code == 0
    assert answer.out.strip() == str(filled.home.path / "report" / "index.html")
    assert "Figures of the 7 days" in Path(answer.out.strip()).read_text(encoding="utf-8")


def test_without_a_warehouse_there_is_no_report(home: TestHome) -> None:
    with pytest.raises(WarehouseError, match="there is no warehouse yet; `dora run` makes it"):
        write_report(home.home)
    assert not (home.home.path / "report").exists()
    answer = call(home.home.path, "report")
    assert answer.code == 1
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("blocked", [["report"], ["report", "index.html"]])
def test_a_page_that_cannot_be_written_leaves_no_half_of_it(home: TestHome, blocked: Sequence[str]) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00")
    home.run()
    path = home.home.path.joinpath(*blocked)
    if len(blocked) == 1:
        path.write_text("in the way")
    else:
        path.mkdir(parents=True)
    with pytest.raises(ReportError, match=r"index\.html: cannot be written"):
        write_report(home.home)
    assert [item.name for item in (home.home.path / "report").glob("*")] == blocked[1:]


def test_the_asset_writes_the_page_and_stands_after_the_metrics(
    filled: TestHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_HOME", str(filled.home.path))
    report_page = report_asset([])
    assert report_page.key == dg.AssetKey(["report", "index"])
    assert report_page.asset_deps[report_page.key] == {dg.AssetKey(["metrics", "daily"])}
    path = write_report(filled.home)
    path.unlink()
    assert dg.materialize([report_page], resources={"warehouse": Warehouse(home=str(filled.home.path))}).success
    assert path.exists()


def test_dagster_writes_the_report_by_itself_when_days_were_loaded_and_not_again_before_others_are(
    home: TestHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00", version="1")
    found = definitions(home.home)
    with dg.DagsterInstance.ephemeral() as instance:

        def tick(cursor: Any) -> tuple[int, Any]:
            result = dg.evaluate_automation_conditions(found, instance, cursor=cursor)
            return result.get_num_requested(REPORT), result.cursor

        wanted, cursor = tick(None)
        assert wanted == 0, "nothing is loaded yet"
        assert days_run(home, instance, "2024-05-06").success
        wanted, cursor = tick(cursor)
        assert wanted == 1
        job = found.resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(instance=instance, asset_selection=[REPORT]).success
        assert (home.home.path / "report" / "index.html").stat().st_size > 1_000
        wanted, cursor = tick(cursor)
        assert wanted == 0
        assert days_run(home, instance, "2024-05-07").success
        assert tick(cursor)[0] == 1
        assert tick(None)[0] == 1, "days that were loaded before the first look"


# Words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "no data"),
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1.0 min"),
        (3599.9, "1.0 h"),
        (86_399, "1.0 d"),
        (86_400 * 1234.5, "1,234.5 d"),
        (-90, "−1.5 min"),
        (-0.01, "0.0 s"),
        (4500, "1.3 h"),
    ],
)
def test_durations_are_told_in_the_unit_that_they_round_to(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(None, "no data"), (0.0, "0.0 %"), (1 / 16, "6.3 %"), (0.2875, "28.8 %"), (2 / 3, "66.7 %"), (-1e-9, "0.0 %")],
)
def test_shares_are_rounded_as_a_spreadsheet_rounds_them(rate: float | None, text: str) -> None:
    assert share_text(rate) == text
