"""The report page in a real browser, opened as a file: choices, without JavaScript, narrow, hostile names."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dora_pipeline.pipeline.reports import write_report
from dora_pipeline_tests.browsers import running_chromium
from dora_pipeline_tests.homes import TestHome

HOSTILE = """</script><script>document.title = "taken"</script><img src=x onerror="document.title = 'taken'">"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    home = TestHome(tmp_path_factory.mktemp("report") / "home")
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00", team="sales")
    home.deploy("api", "2024-05-06 11:00:00", team="platform")
    home.deploy("api", "2024-05-06 12:00:00", env="staging", team="platform")
    home.deploy(HOSTILE, "2024-05-06 13:00:00", team=HOSTILE)
    home.run()
    return write_report(home.home).as_uri()


@pytest.fixture(params=[1280, 400])
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    with running_chromium(tmp_path, request.param, 900) as context:
        yield context.new_page()


@pytest.fixture
def page_without_scripts(tmp_path: Path) -> Iterator[Page]:
    with running_chromium(tmp_path, 1280, 900, java_script_enabled=False) as context:
        yield context.new_page()


def test_choices_show_only_what_was_chosen(page: Page, address: str) -> None:
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    assert page.title().startswith("DORA metrics")
    services = page.locator("table", has_text="Services in these").locator("tbody tr:visible")
    expect(services).to_have_count(4)
    page.get_by_label("Environment", exact=True).select_option("staging")
    expect(services).to_have_count(1)
    expect(page.get_by_role("heading", name="prod", exact=True)).to_be_hidden()
    expect(page.get_by_role("heading", name="staging", exact=True)).to_be_visible()
    page.get_by_label("Environment", exact=True).select_option("all")
    page.get_by_label("Team", exact=True).select_option("platform")
    expect(services).to_have_count(2)
    page.get_by_label("Team", exact=True).select_option(HOSTILE)
    expect(services).to_have_count(1)
    page.get_by_label("Team", exact=True).select_option("all")
    page.get_by_label("Service contains").fill("SHO")
    expect(services).to_have_count(1)
    expect(services).to_contain_text("shop")
    expect(page.locator("#chosen")).to_contain_text("rows of the tables are shown.")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert faults == []


def test_without_scripts_everything_is_there_but_the_choices(page_without_scripts: Page, address: str) -> None:
    page_without_scripts.goto(address)
    expect(page_without_scripts.locator("#choices")).to_be_hidden()
    expect(page_without_scripts.locator("article.card:visible")).to_have_count(14)
    page_without_scripts.get_by_text("Over time, by week, prod").click()
    expect(page_without_scripts.locator("svg:visible").last).to_be_visible()
