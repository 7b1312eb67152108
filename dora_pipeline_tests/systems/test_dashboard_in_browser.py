"""The dashboard in a real browser: filters, the way back, the keyboard alone, without scripts, hostile names."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dora_pipeline_tests.browsers import running_chromium
from dora_pipeline_tests.dashboards import Client, running_dashboard
from dora_pipeline_tests.homes import TestHome

HOSTILE = """</script><script>document.title = "taken"</script><img src=x onerror="document.title = 'taken'">"""


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = TestHome(tmp_path_factory.mktemp("dashboard") / "home")
    home.select_events()
    for day in range(1, 29):
        home.deploy("shop", f"2024-05-{day:02} 10:00:00", version=f"s{day}", team="sales")
    home.deploy("api", "2024-05-06 11:00:00", team="platform")
    home.deploy("api", "2024-05-06 12:00:00", env="staging", team="platform")
    home.deploy(HOSTILE, "2024-05-06 13:00:00", team=HOSTILE)
    home.fail(["shop"], "2024-05-07 10:00:00", "2024-05-07 11:00:00", team="sales")
    home.run()
    with running_dashboard(home.home) as client:
        yield client


@pytest.fixture(params=[1280, 390])
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    with running_chromium(tmp_path, request.param, 900) as context:
        yield context.new_page()


def _deployments(page: Page) -> str:
    return page.locator("article.card", has_text="Deployment frequency").locator("data").inner_text()


def test_a_question_is_put_together_and_taken_back(page: Page, dashboard: Client) -> None:
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{dashboard.address}/")
    assert page.title().startswith("DORA metrics, prod")
    assert _deployments(page) == "30"
    page.get_by_label("Team", exact=True).select_option("sales")
    page.get_by_role("button", name="Show").click()
    assert page.url == f"{dashboard.address}/?env=prod&team=sales"
    assert _deployments(page) == "28"
    page.get_by_role("link", name="last 7 days").click()
    assert _deployments(page) == "7"
    page.go_back()
    assert _deployments(page) == "28"
    page.go_back()
    assert _deployments(page) == "30"
    page.get_by_role("link", name="api", exact=True).click()
    assert page.url == f"{dashboard.address}/?env=prod&service=api"
    assert _deployments(page) == "1"
    page.goto(f"{dashboard.address}/")
    page.get_by_role("link", name=HOSTILE).click()
    assert page.title().startswith("DORA metrics, prod, service </script>")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert faults == []


def test_the_keyboard_is_enough(page: Page, dashboard: Client) -> None:
    page.goto(f"{dashboard.address}/")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "service":
            break
    page.keyboard.type("shop")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{dashboard.address}/?env=prod&service=shop")
    assert _deployments(page) == "28"


def test_without_scripts_a_part_of_a_name_leads_to_those_that_have_it(tmp_path: Path, dashboard: Client) -> None:
    with running_chromium(tmp_path, 1280, 900, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{dashboard.address}/")
        page.get_by_label("Service", exact=True).fill("sho")
        page.get_by_role("button", name="Show").click()
        page.get_by_role("link", name="shop", exact=True).click()
        assert _deployments(page) == "28"
