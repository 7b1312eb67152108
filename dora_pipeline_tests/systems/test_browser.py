"""What an operator does in Dagster's page, by clicks in a real browser, on the bundled sample."""

from collections.abc import Iterator
from contextlib import suppress

import duckdb
import pytest
from playwright.sync_api import Locator, Page, Request, TimeoutError, expect

from dora_pipeline.config import Home
from dora_pipeline.demo import prepare_demo
from dora_pipeline.pipeline.progress import Silence
from dora_pipeline.pipeline.runs import run
from dora_pipeline_tests.browsers import running_chromium
from dora_pipeline_tests.dagster_servers import Dagster, running_dagster
from dora_pipeline_tests.waiting import PATIENCE, eventually

_SELECTION = """ops:
  append_to_selection_log:
    config:
      event_type: deployment
      sources: [deployment_event_api]
"""
_RANGE = "[2026-09-01...2026-09-05]"
_MILLISECONDS = PATIENCE * 1000
_QUIET = 15_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    found = Home(tmp_path_factory.mktemp("browser") / "home")
    prepare_demo(found, Silence(), first_year=2026)
    run(found)
    return found


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[Dagster]:
    with running_dagster(home.path, home.path.parent / "dev.log") as found:
        yield found


@pytest.fixture(scope="module")
def page(server: Dagster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    # Every click goes through the webserver, which shares its processors with runs and with other tests.
    expect.set_options(timeout=_MILLISECONDS)
    with running_chromium(tmp_path_factory.mktemp("chromium"), 1600, 1000, base_url=server.url) as context:
        found = context.new_page()
        found.set_default_timeout(_MILLISECONDS)
        yield found
        found.screenshot(path=tmp_path_factory.getbasetemp() / "last-page.png")
    expect.set_options(timeout=None)


def visit(page: Page, path: str) -> None:
    page.goto(path)
    # Dagster's page shows what it remembers first, and replaces it by what it is told: a click in between is lost.
    with suppress(TimeoutError):
        page.wait_for_load_state("networkidle", timeout=_QUIET)


def selected_deployments(home: Home) -> dict[str, int]:
    """Deployments by service as metrics.daily counts them now."""
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        counted = (
            "SELECT service, CAST(SUM(deployments) AS BIGINT) FROM metrics.daily GROUP BY service ORDER BY service"
        )
        return dict(connection.execute(counted).fetchall())


def test_the_graph_reads_from_sources_to_the_report(page: Page) -> None:
    visit(page, "/asset-groups")
    places = []
    for group in ("sources", "core", "metrics", "report"):
        box = page.get_by_text(group, exact=True).first.bounding_box()
        assert box is not None
        places.append(box["x"])
    assert places == sorted(places)


def test_a_range_is_backfilled_until_it_is_green(page: Page, server: Dagster) -> None:
    visit(page, "/asset-groups")
    page.get_by_role("button", name="Materialize all").click()
    page.get_by_text("Show all partitions").click()
    box = page.locator("input[type=text]").last
    box.fill(_RANGE)
    box.press("Enter")
    expect(page.get_by_text("5 partitions").first).to_be_visible()
    with page.expect_response(lambda answer: "LaunchPartitionBackfill" in (answer.request.post_data or "")):
        page.get_by_role("button", name="Launch backfill").click()
    visit(page, f"/runs/b/{eventually(server.newest_backfill, 'the backfill')}")
    expect(page.get_by_text("2026-09-01...2026-09-05")).to_be_visible()
    expect(page.get_by_text("100% completed")).to_have_count(12)
    assert server.partitions("metrics/daily")["failed"] == 0
    assert server.partitions("metrics/daily")["materialized"] >= 5


def test_the_page_of_an_asset_explains_it(page: Page) -> None:
    visit(page, "/assets/metrics/daily?view=overview")
    expect(page.get_by_text("The metrics by day, service and env").first).to_be_visible()
    expect(page.get_by_text("deployment_lead_time_p50_seconds").first).to_be_visible()
    expect(page.get_by_text("Row count").first).to_be_visible()


def test_a_schedule_is_turned_off_and_on(page: Page) -> None:
    switch = schedule_row(page).locator("input[type=checkbox]").last
    visit(page, "/automation")
    expect(switch).to_be_checked()
    click_switch(page)
    expect(switch).not_to_be_checked()
    visit(page, "/automation")
    expect(switch).not_to_be_checked()
    click_switch(page)
    expect(switch).to_be_checked()


def test_metrics_follow_a_selection_made_in_the_launchpad(page: Page, home: Home) -> None:
    before = selected_deployments(home)
    assert before["metaphysics"] > 0
    visit(page, "/locations/dora_pipeline/jobs/select_sources")
    page.get_by_role("tab", name="Launchpad").click()
    page.locator(".CodeMirror").first.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(_SELECTION)
    page.get_by_role("button", name="Launch run").click()
    page.wait_for_url("**/runs/*")

    def follows() -> bool:
        now = selected_deployments(home)
        return now.get("metaphysics", 0) == 0 and now["rosalind"] == before["rosalind"]

    eventually(follows, "metrics of the selected source only")


def click_switch(page: Page) -> None:
    def is_asked() -> bool:
        with suppress(TimeoutError), page.expect_request(changes_schedule, timeout=_QUIET):
            schedule_row(page).locator("label").last.click(timeout=_QUIET)
            return True
        return False

    eventually(is_asked, "a request that changes the schedule")


def changes_schedule(request: Request) -> bool:
    return any(name in (request.post_data or "") for name in ("StartThisSchedule", "StopSchedule"))


def schedule_row(page: Page) -> Locator:
    return page.locator("[class*=ListItem_listItem]", has=page.get_by_text("daily", exact=True))
