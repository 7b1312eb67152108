"""The dashboard over HTTP, below its cards: the events behind a figure, pages of events, data, quality, metrics."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

import duckdb
import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from starlette.routing import Route

from dora_pipeline.dashboard.app import dashboard_app
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.gauges import watched_services
from dora_pipeline.report import addresses
from dora_pipeline.report.explanation import FIGURES
from dora_pipeline.warehouse.reader import open_reader
from dora_pipeline_tests.command import call
from dora_pipeline_tests.dashboards import Client, card, running_dashboard
from dora_pipeline_tests.git_histories import History, git
from dora_pipeline_tests.homes import TestHome, moment
from dora_pipeline_tests.report_pages import Element, page, rows

REPOSITORY = "github.com/organization/shop"
HOSTILE = """</script><img src=x onerror=alert(2)>"'&"""
# A slash, one that is written as a percent code, quotes, a parameter of SQL and letters of several bytes.
SECOND = "second/%2F?#'\"<b>$event_id 🚀"
RESTORED = "../restored;--'{passes}' & ü"
INCIDENT = "https://me:secret@example.pagerduty.com/incidents/1"
MAY = {"from": "2024-05-01", "to": "2024-05-31"}
DOTS = (".", "..", "...", "a.b-c_d~e")
_MANY = 450
_IDS = [*DOTS, *(f"m{number}" for number in range(len(DOTS), _MANY))]
_UNKNOWN = "unlinked: its service is in neither catalog nor deployments"
FORMULAS = ("=1+1", "@SUM(A1)", "＋1", "-1", '"plain"\\n')


def _fill(home: TestHome) -> None:
    """A deployment that failed, was linked to a failure and rolled back; events that are left out; many of staging."""
    clone = home.home.path.with_name("shop.git")
    home.settings(
        timezone="Europe/Berlin", environments={"production": ["prod"]}, repositories={REPOSITORY: str(clone)}
    )
    definition = {"schema-version": "v2.2", "dd-service": "shop", "team": "sales"}
    (home.home.path / "services").mkdir()
    (home.home.path / "services" / "shop.yaml").write_text(yaml.safe_dump(definition))
    home.select("deployment", "deployment_event_api", "apm_deployment_tracking", at=moment("2024-05-01 00:00:00"))
    home.select("failure", "failure_event_api", at=moment("2024-05-01 00:00:00"))
    history, day = History(), 126 * 86_400
    history.commit(message="Begin", committed=day)
    history.commit(1, message=f"Add {HOSTILE}", committed=day)
    history.commit(2, message="Faster checkout (#12)", committed=day + 3600)
    history.commit(2, message="Cache it", authored=day - 3600)
    history.commit(4, message="Fix the cache", authored=day)
    shas = history.write(clone, {"main": 3})
    git(clone, "update-ref", "refs/pull/12/head", shas[5])

    def shop(finished: str, name: str, version: str, commit: int) -> None:
        told = {"repository_url": f"https://{REPOSITORY}", "commit_sha": shas[commit]}
        home.deploy("shop", finished, id=name, version=version, git=told, team="sales")

    shop("2024-04-30 10:00:00", "early", "0", 1)
    shop("2024-05-06 10:00:00", "first", "1", 1)
    shop("2024-05-07 10:00:00", SECOND, "2", 3)
    shop("2024-05-07 12:00:00", "back", "1", 1)
    home.deploy("shop", "2024-05-07 12:00:00", id="collides", version="9", received="2024-05-08 00:00:00")
    backwards = {"started_at": "2024-05-07T09:30:00Z", "team": "sales"}
    for name, env in (("backwards", None), ("backwards in staging", "staging")):
        home.deploy("shop", "2024-05-07 09:00:00", id=name, env=env, **backwards)
    home.deploy("till", "2024-05-07 09:00:00", id="till", team="ops")
    home.drop_export(
        "one.jsonl", [{"timestamp": "2024-05-06T10:02:00Z", "service": "shop", "env": "prod", "version": "1"}]
    )
    home.fail(
        ["shop", "till"],
        "2024-05-07 11:00:00",
        "2024-05-07 12:30:00",
        id=RESTORED,
        name="Checkout is slow",
    )
    home.fail(["shop"], "2024-05-08 09:00:00", id="open", name=HOSTILE, severity="high")
    home.fail(["shop"], "2024-05-09 09:00:00", "2024-05-09 09:10:00", id="nowhere", env=None)
    home.fail(["ghost"], "2024-05-09 09:00:00", "2024-05-09 09:20:00", id="ghost")
    start = moment("2024-05-10 00:00:00")
    moments = [(start + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%SZ") for number in range(_MANY)]
    many = [
        {
            "id": _IDS[number],
            "service": FORMULAS[number % len(FORMULAS)],
            "env": "staging",
            "started_at": at,
            "finished_at": at,
        }
        for number, at in enumerate(moments)
    ]
    with EventStore.at(home.home) as store:
        store.append_many("deployment", many, received_at=moment("2024-05-11 00:00:00"))
    home.run()
    # Only pulled incidents have addresses.
    home.home.warehouse.chmod(0o600)
    with duckdb.connect(str(home.home.warehouse)) as connection:
        for address, name in ((INCIDENT, RESTORED), ("javascript:alert(1)", "open")):
            connection.execute("UPDATE core.failures SET url = $1 WHERE failure_id = $2", [address, name])


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home that was filled once; every test only reads it."""
    home = TestHome(tmp_path_factory.mktemp("filled") / "home")
    _fill(home)
    return home


def _shown(client: Client, path: str, **question: str) -> Element:
    answer = client.get(path, params={**MAY, **question})
    assert answer.status_code == 200, answer.text
    assert "<img" not in answer.text
    return page(answer.text)


def test_a_card_without_a_rate_says_which_days_have_one(client: Client) -> None:
    # Sources are selected since 02:00 of 1 May in Berlin.
    said = "A rate needs a period that begins on 2024-05-02 or later"
    root = _shown(client, "/")
    number, text = card(root, "Change failure rate")
    assert number is None
    assert f"{said}." in text
    (link,) = [link for link in root.all("a") if link.text == "Show the days from 2024-05-02 on"]
    assert link.attributes["href"] == "/?env=production&from=2024-05-02&to=2024-05-31"
    assert said not in card(page(client.get(link.attributes["href"] or "").text), "Change failure rate")[1]


# The events behind a figure


def test_the_number_of_each_card_leads_to_the_events_that_it_is_made_of(client: Client) -> None:
    root = _shown(client, "/")
    expected = {
        # first, second, back and till
        "Deployment frequency": ("Deployments: 4", {"first", SECOND, "back", "till"}),
        "Change lead time": ("Commits with a change lead time: 3", {SECOND}),
        "Time to restore": ("Restored failures: 2", {RESTORED, "ghost"}),
        "Change failure rate": ("Failures: 3", {RESTORED, "open", "ghost"}),
        "Failed change rate": ("Failed changes: 1", {SECOND}),
        "Failed deployment recovery time": ("Mended deployments: 1", {SECOND}),
        "Rework rate": ("Deployments that are rework: 1", {"back"}),
    }
    assert {item.all("h3")[0].text for item in root.all("article")} == set(expected)
    followed: set[str] = set()
    for item in root.all("article"):
        title, events = expected[item.all("h3")[0].text]
        (number,) = item.all("p", "figure")[0].all("a")
        answer = client.get(number.attributes["href"])
        assert answer.status_code == 200
        explained = page(answer.text)
        assert explained.all("h1")[0].text == title
        found = {row[2] for row in rows(explained, "The newest first") if row[1] == "counted"}
        assert found == events, title
        followed |= {link.attributes["href"] for link in explained.all("tbody")[1].all("a")}
    for address in followed:
        assert client.get(address).status_code == 200, address


def test_what_is_left_out_of_a_figure_is_shown_with_the_reason(client: Client) -> None:
    root = _shown(client, "/explain", figure="deployments", service="shop", **{"from": "2024-04-01"})
    assert rows(root, "What the figure is made of") == [
        ["counted", "3", "3"],
        ["left out: it is older than the first selection of its source", "1", "1"],
        ["left out: another source has it too, and counts in its place", "1", "1"],
        ["left out: rejected: finished before started; it names no environment", "1", "0"],
        ["left out: rejected: same second", "1", "0"],
    ]
    of_team = _shown(client, "/explain", figure="deployments", team="sales", **{"from": "2024-05-06"})
    rejected = [row for row in rows(of_team, "What the figure is made of") if "rejected" in row[0]]
    assert rejected == [["left out: rejected: finished before started; it names no environment", "1", "0"]]
    (early,) = (row for row in rows(root, "The newest first") if row[2] == "early")
    # Times are those of the zone of the settings.
    assert early[0] == "2024-04-30 12:00:00+02:00"
    only = _shown(client, "/explain", figure="failures", reason="no_env")
    assert [row[2] for row in rows(only, "The newest first")] == ["nowhere"]
    assert only.all("h1")[0].text == "Failures: 3"


def test_more_rows_than_a_page_holds_are_on_further_pages(client: Client) -> None:
    options, found = {"figure": "deployments", "env": "staging", "reason": "(counted)"}, []
    for number in (1, 2, 3):
        root = _shown(client, "/explain", page=str(number), **options)
        found += [row[2] for row in rows(root, "The newest first")]
        assert f"page {number} of 3" in root.text
    assert found == _IDS[::-1]
    nav = [link.text for link in _shown(client, "/explain", page="2", **options).all("nav")[-1].all("a")]
    assert nav == ["Newer", "Older"]


def assert_said(client: Client, path: str, status: int, said: str) -> None:
    """That a page says in words why there is no other one."""
    answer = client.get(path)
    assert answer.status_code == status
    assert said in page(answer.text).text


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/explain", 400, "figure: is missing; there are deployments, lead_time_commits"),
        ("/explain?figure=happiness", 400, "figure: 'happiness' is none of those that there are"),
        ("/explain?figure=deployments&page=0", 400, "page: '0' is no number from 1 on"),
        ("/explain?figure=deployments&page=9", 400, "page: there are 1"),
        ("/explain?figure=deployments&page=1&page=2", 400, "page: stands twice"),
        ("/explain?figure=deployments&fgure=1", 400, "fgure: is no parameter"),
        ("/explain?figure=deployments&service=shp", 404, "no event of a selected source names 'shp'; there is"),
    ],
)
def test_what_cannot_be_shown_is_said_in_words(client: Client, path: str, status: int, said: str) -> None:
    assert_said(client, path, status, said)


# An event's page


def _event(client: Client, event_type: str, event_id: str) -> Element:
    answer = client.get(f"/{event_type}s/{quote(event_id, safe='')}")
    assert answer.status_code == 200, answer.text
    assert "<img" not in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
    return page(answer.text)


def _facts(root: Element) -> dict[str, str]:
    return {item.all("dt")[0].text: item.all("dd")[0].text for item in root.all("div") if item.all("dt")}


def _links(root: Element) -> set[str]:
    return {link.attributes["href"] for link in root.all("a")}


def test_the_page_of_a_deployment_says_all_that_is_known_of_it(filled: TestHome, client: Client) -> None:
    root = _event(client, "deployment", SECOND)
    assert root.all("h1")[0].text == root.all("title")[0].text == "Deployment of shop 2, 2024-05-07 12:00:00+02:00"
    assert root.all("dd")[0].text == SECOND
    ((sha, previous),) = filled.rows(
        "SELECT commit_sha, previous_commit_sha FROM core.deployments WHERE deployment_id = $1", SECOND
    )
    facts = _facts(root)
    assert facts["Finished: when it counts"] == "2024-05-07 12:00:00+02:00, on 2024-05-07"
    assert facts["Kind"] == "standard"
    assert facts["Commits are counted from"] == f"first, commit {previous}"
    # The commits are of 2024-05-06: of midnight two, and one of an hour before it.
    assert facts["Change lead time, mean over its commits"] == "1.4 d, 3 commits"
    assert (
        "It is a failed change: a rollback left it behind. back mended it (rollback), 2.0 h after its end." in root.text
    )
    commits = rows(root, "The newest first; merge commits are left out")
    landed = {row[1]: row[4] for row in commits}
    assert landed == {f"Add {HOSTILE}": "itself", "Cache it": sha, "Fix the cache": sha}
    assert {row[1]: row[3] for row in commits}["Cache it"] == "1.5 d"
    ((linked),) = rows(root, "Failures that are linked to it.")
    assert linked[1:4] == ["Checkout is slow", "shop", "2024-05-07 13:00:00+02:00"]
    assert linked[5:] == ["1.5 h", "the latest before the failure", "1.0 h", "first the latest before the failure"]
    assert {
        f"https://{REPOSITORY}/commit/{sha}",
        f"https://{REPOSITORY}/pull/12",
        "https://example.pagerduty.com/incidents/1",
        "/deployments/back",
        "/deployments/first",
        f"/failures?{urlencode({'id': RESTORED})}",
    } <= _links(root)
    for link in root.all("a"):
        if link.attributes["href"].startswith("https:"):
            assert link.attributes["rel"] == "noopener noreferrer"


def test_rollbacks_and_duplicates_and_what_never_counted_have_pages_too(client: Client) -> None:
    back = _event(client, "deployment", "back")
    assert _facts(back)["Kind"] == "rollback"
    assert f"It mended {SECOND} (rollback), a failed change: a rollback left it behind." in back.text
    first = _event(client, "deployment", "first")
    ((duplicate, *cells),) = rows(first, "They are one deployment")
    assert cells[0] == "apm_deployment_tracking"
    assert cells[-1] == "no"
    assert rows(first, "Failures that would be linked")[0][8] == SECOND
    other = _event(client, "deployment", duplicate)
    assert "No figure counts it: another source has it too, and counts in its place: first." in other.text
    early = _event(client, "deployment", "early")
    assert "No figure counts it: it is older than the first selection of its source." in early.text


def test_the_page_of_a_failure_names_its_deployment_the_rule_and_the_runner_up(client: Client) -> None:
    root = _event(client, "failure", RESTORED)
    assert _facts(root)["Restored"] == "2024-05-07 14:30:00+02:00, on 2024-05-07"
    assert _facts(root)["Time to restore"] == "1.5 h"
    shop, till = rows(root, "By impacted service")
    assert shop[3:] == [SECOND, "the latest before the failure", "1.0 h", "first the latest before the failure"]
    assert till[3:] == ["till", "the latest before the failure", "2.0 h", "none"]
    # The password in the address is left out.
    assert "https://example.pagerduty.com/incidents/1" in _links(root)
    broken = _event(client, "failure", "open")
    assert broken.all("h1")[0].text == "Failure of shop, 2024-05-08 11:00:00+02:00"
    title = "Failure of shop and 1 more, 2024-05-07 13:00:00+02:00"
    assert _event(client, "failure", RESTORED).all("h1")[0].text == title
    assert _facts(broken)["Restored"] == "it is open"
    assert _facts(broken)["Page at its source"] == "none is known"
    assert HOSTILE in broken.text
    assert not any("javascript" in address for address in _links(broken))
    assert "unlinked: its service is in neither catalog nor deployments" in _event(client, "failure", "ghost").text


def test_an_event_is_reached_by_its_link_whatever_browsers_and_proxies_do_to_a_path(client: Client) -> None:
    """`requests` takes dots out of a path, as a browser does."""
    answer = client.get("/explain?figure=deployments&env=staging&page=3")
    links = {link.text: link.attributes["href"] for link in page(answer.text).all("a")}
    assert [links[event_id] for event_id in DOTS] == [
        "/deployments?id=.",
        "/deployments?id=..",
        "/deployments/...",
        "/deployments/a.b-c_d~e",
    ]
    for event_id in DOTS:
        assert page(client.get(links[event_id]).text).all("dd")[0].text == event_id
    shop = page(client.get("/explain?figure=deployments&service=shop").text)
    (second,) = (link.attributes["href"] for link in shop.all("a") if link.text == SECOND)
    assert second.startswith("/deployments?id=second%2F%252F%3F")
    assert page(client.get(second).text).all("dd")[0].text == SECOND
    assert_said(client, "/failures", 400, "id: is missing; it is that of the failure")


@pytest.mark.parametrize("event_id", ["nothing", "a\nb", "a\x00b", "'; DROP TABLE x; --", "%ff", "first/", "x" * 5000])
def test_an_event_that_there_is_not_is_said_in_words(client: Client, event_id: str) -> None:
    for event_type in ("deployment", "failure"):
        answer = client.get(f"/{event_type}s/{quote(event_id, safe='')}")
        assert answer.status_code == 404
        assert f"The newest publication has no {event_type} with the id" in page(answer.text).text


@pytest.mark.parametrize(
    ("repository_id", "commit", "request_"),
    [
        ("github.com/org/app", "https://github.com/org/app/commit/abcdef1", "https://github.com/org/app/pull/7"),
        ("gitlab.example.com/a/b/c", "https://gitlab.example.com/a/b/c/-/commit/abcdef1", None),
        (
            "bitbucket.org/org/app",
            "https://bitbucket.org/org/app/commits/abcdef1",
            "https://bitbucket.org/org/app/pull-requests/7",
        ),
        (
            "dev.azure.com/org/my project/_git/app",
            "https://dev.azure.com/org/my%20project/_git/app/commit/abcdef1",
            "https://dev.azure.com/org/my%20project/_git/app/pullrequest/7",
        ),
        ("git.example.com/org/app", None, None),
        ("github.com:2222/org/app", None, None),
        ("srv/git/app", None, None),
        (None, None, None),
    ],
)
def test_commits_and_requests_have_addresses_where_the_host_is_known(
    repository_id: str | None, commit: str | None, request_: str | None
) -> None:
    assert addresses.commit(repository_id, "abcdef1") == commit
    assert addresses.request(repository_id, "A change (#7)") == request_
    assert addresses.commit(repository_id, "abc\"'><b>") is None
    assert addresses.request("gitlab.com/a/b", "A change (!7)") == "https://gitlab.com/a/b/-/merge_requests/7"


# Data


def _code(root: Element) -> dict[str, str]:
    """The SQL of each table."""
    sections = ((item.all("h2")[0].text, item.all("code")[-1]) for item in root.all("section"))
    return {name: "".join(str(part) for part in code.parts) for name, code in sections}


@pytest.mark.parametrize(
    "question",
    [
        {"grain": "day", "service": "shop"},
        {"severity": "high"},
        {"figure": "deployments", "env": "staging"},
        {"figure": "failures", "reason": "no_env"},
        {"deployment": SECOND},
        {"failure": RESTORED},
    ],
)
def test_the_sql_that_is_shown_gives_the_numbers_of_every_form(
    filled: TestHome, client: Client, question: dict[str, str]
) -> None:
    asked = question if {"deployment", "failure"} & question.keys() else {**MAY, **question}
    tables = client.get("/data.json", params=asked).json()
    shown = _code(page(client.get("/sql", params=asked).text))
    assert shown.keys() == tables.keys()
    for name, text in shown.items():
        values = [list(row.values()) for row in tables[name]]
        assert json.loads(json.dumps(filled.rows(text), default=lambda at: at.isoformat())) == values
        (_, *cells) = csv.reader(io.StringIO(client.get("/data.csv", params={**asked, "table": name}).text))
        assert [[_text(cell) for cell in row] for row in cells] == [[_text(value) for value in row] for row in values]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ("; ".join(value) if isinstance(value, list) else "" if value is None else str(value)).removeprefix("'")


def test_dora_sql_runs_what_is_shown(filled: TestHome, client: Client) -> None:
    text = _code(page(client.get("/sql", params=MAY).text))["figures"]
    ran = call(filled.home.path, "sql", "--format", "csv", "--", text)
    assert ran.code == 0, ran.err
    (columns, found) = csv.reader(io.StringIO(ran.out))
    (named, given) = csv.reader(io.StringIO(client.get("/data.csv", params=MAY).text))
    assert columns == named
    assert found[:8] == given[:8]


def test_the_data_of_a_question_are_the_figures_of_its_page(client: Client) -> None:
    root = _shown(client, "/", grain="day")
    tables = client.get("/data.json", params={**MAY, "grain": "day"}).json()
    (figures,) = tables["figures"]
    for title, column in (
        ("Deployment frequency", "deployments"),
        ("Change lead time", "lead_time_p50_seconds"),
        ("Time to restore", "time_to_restore_p50_seconds"),
        ("Failed deployment recovery time", "recovery_p50_seconds"),
        ("Failed change rate", "failed_change_rate"),
    ):
        (found,) = (item for item in root.all("article") if item.all("h3")[0].text == title)
        data = found.all("data")
        assert (float(data[0].attributes["value"]) if data else None) == figures[column]
    assert (figures["days"], figures["env"], figures["deployments"]) == ("asked", "production", 4)
    trend = tables["trend"]
    # till, SECOND and back
    assert {row["period"]: row["deployments"] for row in trend}["2024-05-07"] == 3
    assert len(trend) == 31
    members = tables["members"]
    assert {row["service"]: row["deployments"] for row in members if row["dimension"] == "service"} == {
        "shop": 3,
        "till": 1,
        "ghost": 0,
    }


def test_what_a_spreadsheet_takes_for_a_formula_stays_text_in_csv(client: Client) -> None:
    asked = {"figure": "deployments", "env": "staging", "reason": "(counted)"}
    answer = client.get("/data.csv", params=asked)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == 'attachment; filename="dora-events.csv"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert len(rows) == _MANY
    assert {row["service"] for row in rows} == {FORMULAS[4], "'-1", "'＋1", "'@SUM(A1)", "'=1+1"}
    assert {row["service"] for row in client.get("/data.json", params=asked).json()["events"]} == set(FORMULAS)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/data.csv?deployment=nothing", 404, "no deployment with the id 'nothing'"),
        ("/data.json?failure=a%00b", 404, "no failure with the id"),
        ("/sql?deployment=first&env=production", 400, "deployment: stands alone"),
        (
            "/data.csv?table=secrets",
            400,
            "table: 'secrets' is none of those that there are; there are figures, members",
        ),
        ("/data.json?figure=happiness", 400, "figure: 'happiness' is none"),
        ("/sql?service=shp", 404, "no event of a selected source names 'shp'"),
    ],
)
def test_data_that_cannot_be_given_is_said_in_words(client: Client, path: str, status: int, said: str) -> None:
    assert_said(client, path, status, said)


# Quality of the data


def test_the_page_of_quality_says_what_dora_check_says_and_shows_what_it_is_about(
    filled: TestHome, client: Client
) -> None:
    answer = client.get("/quality")
    assert answer.status_code == 200
    root = page(answer.text)
    checked = call(filled.home.path, "check").out.splitlines()
    said = [line.partition(": ")[2] for line in checked if line.startswith(("warning: ", "error: "))]
    assert [item.text.partition(": ")[2] for item in root.all("h3")] == said
    for line in checked:
        if line.startswith(("  what to do: ", "  write: ")):
            assert line.partition(": ")[2] in root.text
    assert checked[-1] in root.text
    assert rows(root, "The newest first, a row for each impacted service") == [
        ["ghost", "", "ghost", "production", "no team", "failure_event_api", "2024-05-09 11:00:00+02:00", _UNKNOWN],
    ]
    unknown = {row[0]: row[1:3] for row in rows(root, "They have no team")}
    assert unknown == {"till": ["1", "1"], "ghost": ["0", "1"], **{name: ["90", "0"] for name in FORMULAS}}
    fresh = {row[0]: [row[2], row[4], row[5]] for row in rows(root, "Every source that was ever selected")}
    assert fresh["failure_event_api"] == ["yes", "2024-05-09 11:00:00+02:00", "4"]
    unusable = [row[:2] for row in rows(root, "Events that could not be used")]
    assert unusable == [["finished_before_started", "deployment"], ["same_second", "deployment"]]
    tables = client.get("/data.json", params={"page": "quality"}).json()
    for name, text in _code(page(client.get("/sql", params={"page": "quality"}).text)).items():
        assert len(filled.rows(text)) == len(tables[name])


# Metrics for machines


def _samples(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """The value of each metric by the values of its labels, in the order of their names."""
    return {
        family.name: {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value for sample in family.samples
        }
        for family in text_string_to_metric_families(text)
    }


def test_metrics_are_current_values_by_service_in_the_format_of_openmetrics(client: Client) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("# EOF\n")
    samples = _samples(answer.text)
    assert samples["dora_deployments"] == {
        ("production", "shop"): 3,
        ("production", "till"): 1,
        ("production", "ghost"): 0,
        ("", "shop"): 0,
        **{("staging", name): 90 for name in FORMULAS},
    }
    assert samples["dora_open_failures"]["production", "shop"] == 1
    assert sum(samples["dora_open_failures"].values()) == 1
    newest = samples["dora_newest_deployment_timestamp_seconds"]
    assert newest["production", "shop"] == moment("2024-05-07 12:00:00").timestamp()
    assert ("production", "ghost") not in newest
    source = samples["dora_source_newest_event_timestamp_seconds"]
    assert source["failure", "failure_event_api"] == moment("2024-05-09 09:00:00").timestamp()
    assert set(samples["dora_stale_days"].values()) == {0}
    assert samples["dora_last_run_timestamp_seconds"][()] > moment("2026-01-01 00:00:00").timestamp()
    assert client.get("/metrics").text == answer.text


def test_metrics_are_readable_whatever_services_are_called(home: TestHome) -> None:
    names = ["x" * 300 + "1", "x" * 300 + "2", 'a\\b"c\nd', "a\u2028} 7 # {", "(rest)", "ü🚀", "\ufffd\x85e"]
    home.select("deployment", "deployment_event_api")
    for name in names:
        home.deploy(name, "2024-05-06 10:00:00", env=name)
    home.run()
    with running_dashboard(home.home) as own:
        found = _samples(own.get("/metrics").text)["dora_deployments"]
    cut = "x" * 200
    assert found == {(cut, cut): 2, **{(name, name): 1 for name in names[2:]}}


def test_the_names_in_metrics_are_bounded_and_the_rest_is_summed_as_one(filled: TestHome) -> None:
    with open_reader(filled.home) as connection:
        found = {(row["service"], row["env"]): row for row in watched_services(connection, most=4)}
    # Of one number of events, in the order of their names.
    assert found.keys() == {("(rest)", "(rest)"), *((name, "staging") for name in sorted(FORMULAS)[:4])}
    rest = found["(rest)", "(rest)"]
    assert (rest["deployments"], rest["open_failures"]) == (3 + 1 + 90, 1)
    assert rest["newest_failure_at"] == moment("2024-05-09 09:00:00")


def test_the_guide_names_every_address_and_every_metric(filled: TestHome, client: Client) -> None:
    guide = (Path(__file__).parents[1] / "docs" / "dashboard.md").read_text(encoding="utf-8")
    paths = [route.path for route in dashboard_app(filled.home).routes if isinstance(route, Route)]
    assert len(paths) >= 10
    for path in paths:
        assert f"`{path.replace('{event_id:event_id}', 'ID')}`" in guide, path
    for metric in _samples(client.get("/metrics").text):
        assert f"`{metric}`" in guide, metric
    for figure in FIGURES:
        assert f"`{figure}`" in guide, figure
