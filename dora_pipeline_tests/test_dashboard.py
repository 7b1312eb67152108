"""The dashboard over HTTP: the cards of a question against SQL of its own, what cannot be asked, and who may ask."""

import os
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import duckdb
import pytest
import requests

from dora_pipeline.report import verdicts
from dora_pipeline_tests.command import call, command_line, environment
from dora_pipeline_tests.dashboards import Client, card, running_dashboard
from dora_pipeline_tests.git_histories import History
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.report_pages import page, queries, rows, values
from dora_pipeline_tests.waiting import PATIENCE, eventually

REPOSITORY = "github.com/organization/shop"
HOSTILE = """</script><script>alert(1)</script><img src=x onerror=alert(2)>"'&"""
FIRST, NEWEST = date(2024, 1, 1), date(2024, 5, 30)


def _fill(home: TestHome) -> None:
    """Deployments of three services of two teams on 150 days, most in the newest 30; failures with two severities."""
    clone = home.home.path.with_name("shop.git")
    home.settings(environments={"production": ["prod"]}, repositories={REPOSITORY: str(clone)})
    history, shas = History(), []
    for number in range(40):
        history.commit(*([number] if number else []), authored=number * 40_000)
    shas = history.write(clone, {"main": 40})
    for number in range(1, 41):
        moment = f"{FIRST + timedelta(days=number * 3)} {number % 20:02}:00:00"
        git = {"repository_url": f"https://{REPOSITORY}", "commit_sha": shas[number]}
        home.deploy("shop", moment, version=f"v{number}", git=git, team="sales", custom_tags=[f"tier:{number % 2}"])
    for number in range(40):
        moment = f"{NEWEST - timedelta(days=number % 28)} {number % 24:02}:30:00"
        home.deploy("till", moment, version=f"v{number}", team="sales", custom_tags=["tier:1"])
    for number in range(4):
        home.deploy("mail", f"{NEWEST - timedelta(days=number)} 12:00:00", version=f"v{number}", team="ops")
        home.deploy("mail", f"{NEWEST - timedelta(days=number)} 11:00:00", version=f"v{number}", env="staging")
    for number in range(110):
        home.deploy(f"side-{number:03}", f"{NEWEST} 11:00:00", version="1", env="staging", team="ops")
    home.deploy(HOSTILE, f"{NEWEST} 01:00:00", version="1", team=HOSTILE)
    for number in range(20):
        day = NEWEST - timedelta(days=number * 4)
        severity, minutes = ("high", "low")[number % 2], 10 + number
        home.fail(
            ["shop", "till"][: 1 + number % 2],
            f"{day} 15:00:00",
            f"{day} 15:{minutes}:00",
            severity=severity,
            team="sales",
            custom_tags=[f"tier:{number % 2}"],
        )
    home.fail(["shop"], f"{NEWEST} 16:00:00", severity="high", team="sales")
    home.select_events()
    home.run()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home that was filled once, for the tests that only read it."""
    home = TestHome(tmp_path_factory.mktemp("filled") / "home")
    _fill(home)
    return home


def _figures(home: TestHome, condition: str, first: date, last: date) -> dict[str, Any]:
    """The figures of the cards in SQL of their own, from the tables of events."""
    days = f"day BETWEEN DATE '{first}' AND DATE '{last}' AND is_selected AND ({condition})"
    deployed = f"SELECT * FROM core.deployments WHERE duplicate_of IS NULL AND {days}"
    failed = f"SELECT * FROM core.failures WHERE {days}"
    restored = failed.replace("day BETWEEN", "restored_day BETWEEN")
    query = f"""
        SELECT
            (SELECT COUNT(*) FROM ({deployed})),
            (
                SELECT MEDIAN(c.lead_time_seconds) FROM core.deployment_commits AS c
                WHERE NOT c.is_redelivery AND c.deployment_id IN (SELECT deployment_id FROM ({deployed}))
            ),
            (SELECT COUNT(DISTINCT failure_id) FROM ({failed})),
            (SELECT MEDIAN(s) FROM (SELECT DISTINCT failure_id, time_to_restore_seconds AS s FROM ({restored}))),
            (
                SELECT COUNT(*) FROM core.failed_changes
                WHERE deployment_id IN (SELECT deployment_id FROM ({deployed}))
            )
    """
    ((deployments, lead_time, failures, restore, changes),) = home.rows(query)
    return {
        "Deployment frequency": deployments,
        "Change lead time": lead_time,
        "Change failure rate": failures / deployments if deployments else None,
        "Time to restore": restore,
        "Failed change rate": changes / deployments if deployments else None,
    }


@pytest.mark.parametrize(
    ("question", "condition", "days"),
    [
        ({}, "env = 'production'", 90),
        ({"period": "30d", "team": "sales"}, "env = 'production' AND team = 'sales'", 30),
        ({"service": "shop", "env": "production"}, "env = 'production' AND service = 'shop'", 90),
        ({"env": "staging", "period": "7d"}, "env = 'staging'", 7),
        ({"tag": "tier:1", "period": "365d"}, "env = 'production' AND LIST_CONTAINS(custom_tags, 'tier:1')", 365),
        ({"repository": REPOSITORY}, f"env = 'production' AND repository_id = '{REPOSITORY}'", 90),
        ({"service": HOSTILE}, f"env = 'production' AND service = '{HOSTILE.replace(chr(39), chr(39) * 2)}'", 90),
    ],
)
def test_the_cards_of_a_question_are_computed_from_its_events_alone(
    filled: TestHome, client: Client, question: dict[str, str], condition: str, days: int
) -> None:
    root = client.page(**question)
    expected = _figures(filled, condition, NEWEST - timedelta(days=days - 1), NEWEST)
    for title, value in expected.items():
        assert card(root, title)[0] == pytest.approx(value), title


def test_the_page_of_a_question_as_a_file_has_the_figures_of_the_live_one_and_leads_nowhere(
    filled: TestHome, client: Client
) -> None:
    live = client.page(env="production", team="sales", period="30d")
    answer = call(filled.home.path, "report", "--env", "production", "--team", "sales")
    path = Path(answer.out.strip())
    assert path.parent == filled.home.path / "report"
    text = path.read_text(encoding="utf-8")
    root = page(text)
    for title in ("Deployment frequency", "Change lead time", "Change failure rate", "Time to restore"):
        assert card(root, title) == card(live, title)
    assert not [element for element in root.below() if {"href", "action"} & element.attributes.keys()]
    assert "Content-Security-Policy" in text
    # What on the dashboard are pages of their own is of the question too.
    assert {row[3] for row in rows(root, "The newest deployments")} == {"sales"}
    assert [row[1:5] for row in rows(root, "Failures that are open")] == [["shop", "production", "sales", ""]]

    hostile = call(filled.home.path, "report", "--service", HOSTILE)
    assert "<img" not in Path(hostile.out.strip()).read_text(encoding="utf-8")
    unknown = call(filled.home.path, "report", "--service", "shpo")
    said = "dora: service: no event of a selected source names 'shpo'; there is shop and 113 others\n"
    assert (unknown.code, unknown.err) == (1, said)


def test_days_of_ones_own_are_compared_with_those_before_or_those_of_the_year_before(
    filled: TestHome, client: Client
) -> None:
    own = {"from_": "2024-04-01", "to": "2024-04-30", "service": "shop"}
    root = client.page(**own)
    assert card(root, "Deployment frequency")[0] == 10
    assert "As many as in the 30 days before (10)." in card(root, "Deployment frequency")[1]
    # 10 of 20 in each half of the days.
    assert "within noise" in card(root, "Deployment frequency")[1]
    # The first deployment of the environment came after these days.
    root = client.page(**own, compare="year")
    assert "Not compared: no data for the whole of the 30 days from 2023-04-01." in card(root, "Change lead time")[1]
    assert client.page(**own, compare="none").all("p", "comparison") == []


def test_days_before_the_first_deployment_of_an_environment_have_no_frequency(client: Client) -> None:
    first = NEWEST - timedelta(days=3)
    for last in (first - timedelta(days=1), first - timedelta(days=9)):
        root = client.page(env="staging", from_=str(last - timedelta(days=4)), to=str(last))
        value, text = card(root, "Deployment frequency")
        assert value == 0
        assert f"These days end before the first deployment of the environment, on {first}." in text
        assert " a day" not in text


def test_the_oldest_open_failure_has_an_age_at_the_end_of_the_days(client: Client) -> None:
    (figures,) = client.get("/data.json", params={"compare": "none"}).json()["figures"]
    # From 16:00 of the newest day on.
    assert (figures["open_failures"], figures["oldest_open_seconds"]) == (1, 8 * 3_600)


def test_what_was_open_at_the_end_of_the_days_counts_though_it_is_restored_by_now(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-03-31 12:00:00")
    home.fail(["shop"], "2024-01-10 10:00:00", "2024-02-10 10:00:00")
    home.fail(["shop"], "2024-01-11 10:00:00")
    home.run()
    month = {"from": "2024-01-01", "to": "2024-01-31", "compare": "none"}
    with running_dashboard(home.home) as client:
        (figures,) = client.get("/data.json", params=month).json()["figures"]
    assert (figures["open_failures"], figures["oldest_open_seconds"]) == (2, (21 * 24 + 14) * 3_600)


def test_a_difference_is_called_more_than_noise_only_where_it_is(client: Client) -> None:
    root = client.page(period="30d")
    # 40 + 4 + 1 and 10: 17.5 from half of 55, whose standard deviation is 3.7.
    assert "+35: more than in the 30 days before (10). more than noise" in card(root, "Deployment frequency")[1]
    # 9 and 7 failures, 45 and 10 deployments: of the 16, 13.1 would be now by chance, with a standard deviation of 1.5.
    assert "more than noise" in card(root, "Change failure rate")[1]
    assert "too few events to tell" in card(client.page(period="7d"), "Time to restore")[1]


def test_verdicts_agree_with_published_intervals() -> None:
    # Newcombe 1998, table II, method 10: 56/70 and 48/80 differ by 0.0524 to 0.3339, 9/10 and 3/10 by 0.1705 to 0.8090.
    assert verdicts.of_estimates((0.8, 0.6918, 0.8770), (0.6, 0.4905, 0.7004)) == verdicts.MORE_THAN_NOISE
    assert verdicts.of_estimates((0.9, 0.5958, 0.9821), (0.3, 0.1078, 0.6032)) == verdicts.MORE_THAN_NOISE
    # 5/56 and 0/29 by -0.0381 to 0.1926.
    assert verdicts.of_estimates((5 / 56, 0.0387, 0.1926), (0.0, 0.0, 0.1170)) == verdicts.WITHIN_NOISE
    # 15 and 5 in as many days: 5 from half of 20, whose standard deviation is 2.24; 14 and 6: 4.
    assert verdicts.of_counts(15, 30, 5, 30) == verdicts.MORE_THAN_NOISE
    assert verdicts.of_counts(14, 30, 6, 30) == verdicts.WITHIN_NOISE
    assert verdicts.of_counts(5, 30, 0, 30) == verdicts.TOO_FEW
    assert verdicts.of_shares((0.5, 0.1, 0.9), 5, (0.5, 0.1, 0.9), 50) == verdicts.TOO_FEW


def test_deployments_are_not_of_the_failures_that_name_no_severity(home: TestHome) -> None:
    home.select_events()
    for day, version in enumerate(["1", "2", "1"], start=1):
        home.deploy("shop", f"2024-05-0{day} 12:00:00", version=version)
    home.fail(["shop"], "2024-05-02 13:00:00", "2024-05-02 14:00:00")
    home.run()
    with running_dashboard(home.home) as client:
        (figures,) = client.get("/data.json", params={"severity": "(none)", "compare": "none"}).json()["figures"]
    names = ("failures", "time_to_restore_p50_seconds", "deployments", "recoveries", "recovery_p50_seconds")
    assert [figures[name] for name in names] == [1, 3600, None, None, None]


def test_of_a_severity_or_a_source_only_that_is_told_which_it_can_tell(client: Client) -> None:
    for question, reason in (
        ({"severity": "high"}, "The question is of failures of a severity, and deployments have none."),
        ({"source": "failure_event_api"}, "The question is of a source of failures."),
    ):
        root = client.page(**question)
        for title in ("Deployment frequency", "Change failure rate"):
            number, text = card(root, title)
            assert number is None
            assert reason in text
        assert card(root, "Time to restore")[0] is not None
    # Of every other failure: 12, 14, … minutes; 80 days hold the first 20.
    assert card(client.page(severity="high", period="7d"), "Time to restore")[0] == 600
    root = client.page(source="deployment_event_api")
    assert card(root, "Deployment frequency")[0] == 65
    number, text = card(root, "Change failure rate")
    assert number is None
    assert "The question is of a source of deployments." in text


def test_of_a_source_of_deployments_those_that_failed_are_linked_to_are_counted(
    filled: TestHome, client: Client
) -> None:
    ((linked,),) = filled.rows(f"""
        SELECT COUNT(DISTINCT d.deployment_id)
        FROM core.deployments AS d INNER JOIN core.failure_links AS l USING (deployment_id)
        WHERE d.env = 'production' AND d.day BETWEEN DATE '2024-05-01' AND DATE '{NEWEST}'
    """)
    assert linked > 0
    asked = {"source": "deployment_event_api", "from": "2024-05-01", "grain": "month", "compare": "none"}
    tables = client.get("/data.json", params=asked).json()
    assert [figures["linked_failures"] for figures in (*tables["figures"], *tables["trend"])] == [linked, linked]
    assert tables["figures"][0]["linked_failure_rate"] is None


# Over time, and where


def test_each_period_has_its_own_figures_and_one_that_is_cut_says_so(filled: TestHome, client: Client) -> None:
    root = client.page(from_="2024-03-06", to="2024-05-30", env="production", grain="month")
    weeks = rows(root, "production, by month, the newest first.")
    assert [week[0] for week in weeks] == ["2024-05, in part", "2024-04", "2024-03, in part"]
    for week, (first, last) in zip(
        values(root, "production, by month"), (("05-01", "05-30"), ("04-01", "04-30"), ("03-06", "03-31")), strict=True
    ):
        days = date.fromisoformat(f"2024-{first}"), date.fromisoformat(f"2024-{last}")
        expected = _figures(filled, "env = 'production'", *days)
        deployments, lead_time, failure_rate, restore, failed_changes, *_ = week[1:]
        assert [deployments, lead_time, failure_rate, restore, failed_changes] == pytest.approx([*expected.values()])
    hollow = [bar for bar in root.all("rect", "part") if "in part" in bar.text]
    assert len(hollow) == 2
    assert root.all("polygon") != []


def test_lead_times_are_counted_by_steps_of_time(filled: TestHome, client: Client) -> None:
    root = client.page(period="90d")
    (figure,) = (item for item in root.all("figure") if item.text.startswith("Change lead times of commits"))
    counts = [int(match[1]) for bar in figure.all("rect") if (match := re.search(r": (\d+) commit", bar.text))]
    query = """
        SELECT COUNT(*) FROM core.deployment_commits
        WHERE lead_time_seconds >= 7776000 AND env = 'production' AND day > DATE '2024-03-01'
    """
    assert (sum(counts), counts[-1]) == (20, filled.rows(query)[0][0])


def test_services_and_teams_are_ranked_and_those_of_few_events_follow(filled: TestHome, client: Client) -> None:
    root = client.page(period="30d", sort="deployments")
    assert [row[0] for row in rows(root, "Services in these")] == [
        "till sales",
        "mail ops",
        f"{HOSTILE} {HOSTILE}",
        "shop sales",
    ]
    found = dict(zip((row[0] for row in rows(root, "Services in")), values(root, "Services in"), strict=True))
    expected = _figures(filled, "service = 'till' AND env = 'production'", NEWEST - timedelta(days=29), NEWEST)
    assert found["till sales"][2:7] == pytest.approx([*expected.values()])
    links = {link.text: link.attributes["href"] for link in root.all("a")}
    assert links["till"] == "/?env=production&service=till&period=30d&sort=deployments"
    assert links["by team"] == "/?env=production&period=30d&by=team&sort=deployments#ranking"
    # Those of ops and the hostile one are of fewer than 6 deployments, and stand by their rate of 0.
    root = client.page(period="90d", sort="failure_rate", by="team")
    assert [row[0] for row in rows(root, "Teams in these")] == ["sales", "ops", HOSTILE]
    # Of a single service there is nothing to rank.
    assert "Where it is bad" not in client.page(service="till").text


def test_a_ranking_of_many_services_goes_on_by_links_without_losing_or_repeating_one(client: Client) -> None:
    address, seen, captions = "/?env=staging&period=30d&sort=deployments", [], []
    while address:
        answer = client.get(address)
        assert answer.status_code == 200, answer.text
        root = page(answer.text)
        seen += [row[0].split()[0] for row in rows(root, "Services in these")]
        captions += [item.text for item in root.all("caption") if "small pictures" in item.text]
        links = {link.text: link.attributes["href"] for link in root.all("a")}
        address = links.get("Next", "")
    assert seen == ["mail", *(f"side-{number:03}" for number in range(110))]
    assert [caption.partition("by day. ")[2] for caption in captions] == [
        "1 to 50 of 111 services are shown.",
        "51 to 100 of 111 services are shown.",
        "101 to 111 of 111 services are shown.",
    ]
    assert links["Before"] == "/?env=staging&period=30d&sort=deployments&rank=51#ranking"
    # Sorted by another column, or asked of other days, it begins anew.
    assert links["Change lead time"] == "/?env=staging&period=30d&sort=lead_time#ranking"
    assert links["last 7 days"] == "/?env=staging&period=7d&sort=deployments"
    (all_of_them,) = (item.all("a")[1] for item in root.all("p", "forms") if item.text.startswith("All services"))
    whole = client.get(all_of_them.attributes["href"]).json()
    assert sum(row["dimension"] == "service" for row in whole["members"]) == 111
    beyond = client.get("/?env=staging&rank=112")
    assert (beyond.status_code, "rank: there are fewer services" in beyond.text) == (400, True)


def test_questions_at_once_about_the_same_and_other_events_are_answered_as_they_are_alone(client: Client) -> None:
    asked = ["env=staging&rank=51", "env=staging&sort=deployments", "by=team"]

    def answered(question: str) -> str:
        answer = requests.get(f"{client.address}/?{question}&period=30d", timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        # A filter has a number of its own.
        return re.sub(r"part_\d+", "part", answer.text)

    alone = [answered(question) for question in asked]
    assert len(set(alone)) == len(asked)
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(answered, asked * 2)) == alone * 2


def test_clusters_are_shown_only_where_they_are_asked_for_and_bear_their_year(client: Client) -> None:
    assert "Elite" not in client.page().text
    clusters = rows(client.page(clusters="2024"), "Accelerate State of DevOps, 2024.")
    assert [row[0] for row in clusters] == ["Elite (2024)", "High (2024)", "Medium (2024)", "Low (2024)"]


def test_the_queries_of_a_page_give_its_figures(filled: TestHome, client: Client) -> None:
    root = client.page(team="sales", period="30d")
    found = {title: filled.rows(text) for title, text in queries(root).items()}
    (whole,) = (row for row in found["Cards"] if row[:3] == ("env", None, "production"))
    assert whole[4] == card(root, "Deployment frequency")[0]
    assert sum(row[4] for row in found["Trends by day"] if row[0] == "production") == whole[4]


# What cannot be asked


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("perod=30d", "perod: is no parameter; there are env, team, service"),
        ("period=30", "period: '30' is none of 7d, 30d, 90d, 365d, quarter, year"),
        ("grain=hour", "grain: 'hour' is none of day, week"),
        ("compare=last", "compare: 'last' is none of previous, year, none"),
        ("from=yesterday", "from: 'yesterday' is not a day; write it as 2024-05-06"),
        ("from=20240506", "from: '20240506' is not a day"),
        ("from=0001-01-01", "from: 0001-01-01 is not between 2000-01-01 and 2199-12-31"),
        ("from=2024-05-06&to=2024-05-05", "to: 2024-05-05 is before 2024-05-06"),
        ("to=2024-05-05", "from: is missing"),
        ("from=2024-06-01", "from: 2024-06-01 is after 2024-05-30, the newest day of the data"),
        ("from=2001-01-01", "from: 2001-01-01 to 2024-05-30 is more than 3,660 days"),
        ("from=2020-01-01&grain=day", "grain: 1,612 days by day are too many to draw"),
        ("tag=sales", "tag: 'sales' is not key:value"),
        ("rank=0", "rank: '0' is no number from 1 on"),
        ("team=a&team=b", "team: stands twice, with different values"),
        ("team=a%00b", "team: holds a character that cannot be printed"),
        (f"team={'a' * 501}", "team: is longer than 500 characters"),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_its_parameter(client: Client, question: str, said: str) -> None:
    answer = client.get(f"/?{question}")
    assert answer.status_code == 400
    assert said in page(answer.text).text


def test_a_name_that_no_event_has_is_not_answered_with_zeros_but_with_those_that_are_alike(client: Client) -> None:
    answer = client.get("/", params={"service": "SHO", "period": "30d"})
    assert answer.status_code == 404
    root = page(answer.text)
    assert "service: no event of a selected source names 'SHO'; there is" in root.text
    links = {link.text: link.attributes["href"] for link in root.all("a")}
    assert links["shop"] == "/?service=shop&period=30d"
    assert client.get(links["shop"]).status_code == 200
    other = client.get("/?env=qa")
    assert (other.status_code, "names 'qa'; there is" in page(other.text).text) == (404, True)


def test_an_alias_of_an_environment_stands_for_its_name(filled: TestHome, client: Client) -> None:
    files = set()
    for env in ("production", "prod"):
        (figures,) = client.get("/data.json", params={"env": env, "compare": "none"}).json()["figures"]
        assert (figures["env"], figures["deployments"]) == ("production", 65)
        assert rows(client.page(env=env), "production, by week") != []
        assert client.get("/explain", params={"env": env, "figure": "deployments"}).status_code == 200
        written = call(filled.home.path, "report", "--env", env).out.strip()
        files.add(written)
        assert rows(page(Path(written).read_text(encoding="utf-8")), "production, by week") != []
        explained = call(filled.home.path, "explain", str(NEWEST), "shop", env, "--format", "csv")
        assert explained.out.count(",production,") > 0
    assert len(files) == 1
    unknown = client.get("/", params={"env": "prud"})
    assert (unknown.status_code, "env=production" in unknown.text) == (404, True)


def test_services_are_found_by_a_part_of_their_name(client: Client) -> None:
    assert client.get("/services.json", params={"q": "Ill"}).json() == ["till"]
    assert client.get("/services.json", params={"q": "nothing"}).json() == []


def test_what_a_form_leaves_blank_is_not_part_of_the_address(client: Client) -> None:
    sent = {"env": "production", "team": "", "service": "shop", "period": "30d", "from": "2024-05-01", "to": ""}
    answer = client.get("/", params={**sent, "compare": "previous"}, allow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["location"] == "/?env=production&service=shop&from=2024-05-01"


def test_hostile_names_are_text(client: Client) -> None:
    answer = client.get("/", params={"team": HOSTILE})
    assert "<img" not in answer.text
    assert len(page(answer.text).all("script")) == 1


# Who may ask, and what


def test_it_only_reads_and_answers_only_under_its_own_names(client: Client) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        refused = client.request(method, "/")
        assert refused.status_code == 405
        assert sorted(refused.headers["allow"].split(", ")) == ["GET", "HEAD"]
    assert client.request("HEAD", "/").headers["content-length"] == answer.headers["content-length"]
    assert client.get("/nothing").status_code == 404
    for host, status in (("evil.example", 421), ("localhost:8090", 200), ("[::1]:8090", 200), ("10.0.0.1", 200)):
        assert client.get("/", headers={"host": host}).status_code == status
    for response in (client.get("/nothing"), client.get("/", headers={"host": "evil.example"})):
        assert response.headers["x-frame-options"] == "DENY"


def test_a_page_is_sent_again_only_after_another_publication_and_shows_that_one(home: TestHome) -> None:
    with running_dashboard(home.home) as client:
        missing = client.get("/")
        assert missing.status_code == 503
        assert "dora run" in page(missing.text).text
        home.select_events()
        home.run()
        assert "There is no event of a selected source yet" in client.get("/").text
        home.deploy("shop", "2024-05-06 10:00:00")
        home.run()
        first = client.get("/")
        assert card(page(first.text), "Deployment frequency")[0] == 1
        assert "Not compared" in card(page(first.text), "Deployment frequency")[1]
        known = {"If-None-Match": first.headers["etag"]}
        assert client.get("/", headers=known).status_code == 304
        assert card(page(first.text), "Change failure rate")[0] == 0
        home.deploy("shop", "2024-05-06 11:00:00")
        home.fail(["shop"], "2024-05-06 12:00:00", env=None)
        home.run()
        second = client.get("/", headers=known)
        assert second.status_code == 200
        assert card(page(second.text), "Deployment frequency")[0] == 2
        number, text = card(page(second.text), "Change failure rate")
        assert number is None
        assert "Not known: 1 failure names no environment." in text
        # Whoever holds the file open to read it does not keep the next publication away.
        with duckdb.connect(str(home.home.warehouse), read_only=True):
            assert client.get("/?env=prod").status_code == 200


def _is_open(path: Path) -> bool:
    """Whether this process holds the file that has the path now."""
    held = []
    for file in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            held.append(file.stat())
    return any(os.path.samestat(one, path.stat()) for one in held)


def test_each_publication_is_opened_before_anyone_asks(home: TestHome) -> None:
    home.select_events()
    home.run()
    assert not _is_open(home.home.warehouse)
    with running_dashboard(home.home):
        for hour in (10, 11):
            assert eventually(lambda: _is_open(home.home.warehouse), "the publication is open")
            home.deploy("shop", f"2024-05-06 {hour}:00:00")
            home.run()
        assert eventually(lambda: _is_open(home.home.warehouse), "the newest publication is open")


def test_the_command_says_where_it_listens_and_ends_when_it_is_told_to(filled: TestHome) -> None:
    command = command_line("dashboard", "--port", "0")
    with subprocess.Popen(
        command, env=environment(filled.home.path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        name, address = process.stdout.readline().split()
        assert (name, address[:17]) == ("dashboard", "http://127.0.0.1:")
        answer = requests.get(f"{address}/?{urlencode({'service': 'till'})}", timeout=PATIENCE)
        assert card(page(answer.text), "Deployment frequency")[0] == 40
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
