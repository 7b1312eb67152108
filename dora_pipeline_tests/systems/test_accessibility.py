"""Whether everyone can use the pages: axe-core finds nothing, nothing is cut, and the keyboard reaches everything."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from dora_pipeline.pipeline.reports import write_report
from dora_pipeline.report.question import Question
from dora_pipeline_tests import full_homes
from dora_pipeline_tests.browsers import running_chromium
from dora_pipeline_tests.dashboards import running_dashboard
from dora_pipeline_tests.homes import TestHome

AXE = Path(__file__).parent / "clients" / "node_modules" / "axe-core" / "axe.min.js"
LONG = "a-service-whose-name-is-as-long-as-names-get-where-each-team-adds-its-own-part-" * 2
# Width and height in CSS pixels, and how many real ones each is made of: wide, a telephone, and zoomed to 200 %.
SCREENS = [(1280, 900, 1), (390, 844, 1), (640, 450, 2)]
# Texts of pictures are left out as axe-core cannot tell what is behind them; they have the colour of other soft texts.
# Rows are made as those before them, and take most of the time.
_JUDGE = "(rules) => axe.run({ exclude: [['svg text'], ['tbody tr:nth-child(n+4)']] }, rules)"
# All rules, with the one of WCAG 2.2 that axe-core leaves out by itself; other colours can only break one.
_RULES = {
    "light": {"rules": {"target-size": {"enabled": True}}, "resultTypes": ["violations"]},
    "dark": {"runOnly": ["color-contrast"], "resultTypes": ["violations"]},
}
_OPEN = "document.querySelectorAll('details').forEach((part) => { part.open = true; })"
_WIDE = "[...document.querySelectorAll('.scroll')].filter((part) => part.scrollWidth > part.clientWidth)"
_SILENT = f"{_WIDE}.filter((part) => !part.querySelector('.sideways').checkVisibility()).length"
_CUT = (
    "[...document.querySelectorAll('caption')].filter((part) => part.getBoundingClientRect().right > innerWidth).length"
)
_WRONG = """
    [...document.querySelectorAll('.scroll')].filter(
        (part) => part.scrollWidth <= part.clientWidth && part.querySelector('.sideways').checkVisibility()
    ).length
"""
# What the keyboard must reach, and what of it was reached with an outline around it.
_WATCH = """
    window.reachable = new Set(
        [...document.querySelectorAll("a[href], input:not([type=hidden]), select, button, summary, [tabindex='0']")]
            .filter((part) => part.checkVisibility())
    );
    document.addEventListener("focusin", ({ target }) => {
        const style = getComputedStyle(target);
        if (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2) {
            window.reachable.delete(target);
        }
    });
    window.reachable.size
"""
_MISSED = "[...window.reachable].map((part) => part.outerHTML.slice(0, 200))"


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The address of each kind of page, of a home with something of everything."""
    home = TestHome(tmp_path_factory.mktemp("everything") / "home")
    full_homes.fill(home, range(3))
    home.deploy(LONG, "2024-03-03 09:00:00", team=LONG, custom_tags=["tier:1"])
    failure = home.fail(["shop", LONG], "2024-03-03 10:30:00", name=LONG, severity="high", team=LONG)
    home.run()
    ((deployment,),) = home.rows(
        "SELECT deployment_id FROM core.failure_links WHERE failure_id = $1 AND service = 'shop'", failure
    )
    report, of_service = write_report(home.home), write_report(home.home, Question(service="shop"), 90)
    with running_dashboard(home.home) as client:
        yield {
            "figures": f"{client.address}/?clusters=2024",
            "explanation": f"{client.address}/explain?figure=failures",
            "deployment": f"{client.address}/deployments/{deployment}",
            "failure": f"{client.address}/failures/{failure}",
            "quality": f"{client.address}/quality",
            "queries": f"{client.address}/sql?page=quality",
            "unknown name": f"{client.address}/?service=hop",
            "no such page": f"{client.address}/nowhere",
            "wrong question": f"{client.address}/?period=3d",
            "report": report.as_uri(),
            "report of a service": of_service.as_uri(),
        }


@pytest.fixture(scope="module", params=SCREENS, ids=["wide", "narrow", "zoomed"])
def context(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    width, height, pixels = request.param
    with running_chromium(tmp_path_factory.mktemp("chromium"), width, height, device_scale_factor=pixels) as context:
        yield context


def test_nothing_is_hard_to_read_or_out_of_reach(context: BrowserContext, addresses: dict[str, str]) -> None:
    assert AXE.is_file(), f"axe-core is not in {AXE.parent}: `make test-systems` installs it"
    axe, page = AXE.read_text(encoding="utf-8"), context.new_page()
    found: list[str] = []
    for name, address in addresses.items():
        page.goto(address)
        page.evaluate(_OPEN)
        page.evaluate(axe)
        for scheme, rules in _RULES.items():
            page.emulate_media(color_scheme=scheme)
            found += [f"{name}, {scheme}: {text}" for text in _violations(page, rules)]
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            found.append(f"{name}: the page itself scrolls sideways")
        if page.evaluate(_SILENT):
            found.append(f"{name}: a table scrolls sideways and does not say so")
        if page.evaluate(_CUT):
            found.append(f"{name}: a caption is wider than the screen")
        if page.evaluate(_WRONG):
            found.append(f"{name}: a table says that it scrolls sideways, and does not")
    assert found == []


@pytest.mark.parametrize("context", SCREENS[:1], indirect=True, ids=["wide"])
def test_the_keyboard_reaches_everything_and_shows_where_it_is(
    context: BrowserContext, addresses: dict[str, str]
) -> None:
    page = context.new_page()
    for name, address in addresses.items():
        page.goto(address)
        page.evaluate(_OPEN)
        # A date has a stop for each of its parts.
        for _ in range(page.evaluate(_WATCH) + 10):
            page.keyboard.press("Tab")
        assert page.evaluate(_MISSED) == [], name


def _violations(page: Page, rules: dict[str, Any]) -> list[str]:
    result: dict[str, Any] = page.evaluate(_JUDGE, rules)
    assert result["passes"]
    return [
        f"{rule['id']}: {node['target']} {node.get('failureSummary')}"
        for rule in result["violations"]
        for node in rule["nodes"]
    ]
