"""What the UI shows of a table: its SQL and rules, where to read on, newest rows, and a plot of the last 90 days."""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import dagster as dg
import pytest

from dora_pipeline.assets.metadata import (
    asset_key,
    check_specs,
    definition_metadata,
)
from dora_pipeline.assets.partitions import daily_partitions
from dora_pipeline.assets.reporting import materialization, show_glimpse
from dora_pipeline.assets.resources import Warehouse
from dora_pipeline.config import project_folder
from dora_pipeline.pipeline.plots import Plot, svg
from dora_pipeline.tables import Daily, DeploymentCommits, Deployments, Failures, Services, SourceSelections, Table
from dora_pipeline_tests.homes import TestHome

LAST = date(2024, 5, 8)
DAYS = [LAST - timedelta(days=back) for back in reversed(range(90))]


def plot(measure: Any, **values: float | None) -> Plot:
    """A plot of 90 days to 8 May 2024; `d0508=1` is the value of that day."""
    empty = 0.0 if measure == "count" else None
    return Plot("Title", measure, DAYS, [values.get(f"d{day:%m%d}", empty) for day in DAYS])


def texts(drawing: str) -> list[str]:
    """The texts of an SVG document, which must be well-formed."""
    return [str(node.text) for node in ElementTree.fromstring(drawing).iter("{http://www.w3.org/2000/svg}text")]


def path(drawing: str) -> str:
    """The figure of an SVG document."""
    return list(ElementTree.fromstring(drawing).iter("{http://www.w3.org/2000/svg}path"))[-1].attrib["d"]


def shown(home: TestHome, table: type[Table], first: str, last: str) -> list[dg.AssetMaterialization]:
    """Materialize a table in one run of Dagster, showing a glimpse of it."""
    partitions = daily_partitions(home.home) if "day" in table.columns() else None

    @dg.asset(
        key=asset_key(table),
        partitions_def=partitions,
        check_specs=check_specs(table),
        backfill_policy=dg.BackfillPolicy.single_run() if partitions else None,
    )
    def load(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:  # type: ignore[type-arg]
        days = [date.fromisoformat(key) for key in context.partition_keys] if partitions else []
        loaded = warehouse.load(table, days)
        show_glimpse(context, loaded, context.partition_keys[-1] if partitions else None)
        return materialization(loaded)

    days = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    resources = {"warehouse": Warehouse(home=str(home.home.path))}
    result = dg.materialize([load], resources=resources, tags=days if partitions else {})
    assert result.success
    return [event.materialization for event in result.get_asset_materialization_events()]


@pytest.fixture
def filled(home: TestHome, monkeypatch: pytest.MonkeyPatch) -> TestHome:
    """A home with twelve deployments a day on three days, and DORA_HOME pointing to it."""
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    home.select_events()
    for day in (6, 7, 8):
        for hour in range(12):
            home.deploy("shop", f"2024-05-{day:02} {hour:02}:00:00", version=f"{day}|{hour}", team="*sales*")
    return home


# Definitions


def code_paths(table: type[Table]) -> list[Path]:
    """The files to which the page of a table links."""
    linked = definition_metadata(table)["dagster/code_references"]
    assert isinstance(linked, dg.CodeReferencesMetadataValue)
    return [Path(item.file_path) for item in linked.code_references if isinstance(item, dg.LocalFileCodeReference)]


@pytest.mark.parametrize("table", [Deployments, DeploymentCommits, Failures, Daily])
def test_a_table_shows_its_sql_its_code_and_where_to_read_on(table: type[Table]) -> None:
    metadata = definition_metadata(table)
    sql = metadata["SQL"]
    assert isinstance(sql, dg.MarkdownMetadataValue)
    assert sql.value.startswith(f"```sql\n-- {table.table_name} for the days in run_days")
    assert sql.value.endswith("```")
    paths = code_paths(table)
    assert any(path.name == f"{table.table_name.partition('.')[2]}.sql" for path in paths)
    assert [path for path in paths if not path.is_file()] == []
    for name in ("tables and columns", "manual"):
        link = metadata[name]
        assert isinstance(link, dg.PathMetadataValue)
        assert (project_folder() / link.path).is_file()


@pytest.mark.parametrize("table", [Services, SourceSelections])
def test_a_table_that_no_sql_makes_shows_its_code(table: type[Table]) -> None:
    assert "SQL" not in definition_metadata(table)
    paths = code_paths(table)
    assert paths
    assert [path for path in paths if not path.is_file()] == []


def test_the_warehouse_is_named_by_its_path(home: TestHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    named = definition_metadata(Daily)["warehouse"]
    assert isinstance(named, dg.PathMetadataValue)
    assert named.path == str(home.home.warehouse)


# Materializations


def test_only_the_last_partition_of_a_run_holds_rows_and_plot(filled: TestHome) -> None:
    events = shown(filled, Deployments, "2024-05-06", "2024-05-08")
    assert [
        (event.partition, "newest rows" in event.metadata, "last 90 days" in event.metadata) for event in events
    ] == [
        ("2024-05-06", False, False),
        ("2024-05-07", False, False),
        ("2024-05-08", True, True),
    ]
    assert [event.metadata["dagster/row_count"].value for event in events] == [36, 36, 36]
    assert sum(len(str(value.value)) for value in events[-1].metadata.values()) < 100_000


def test_the_ten_newest_rows_are_a_markdown_table_without_empty_columns(filled: TestHome) -> None:
    told = str(shown(filled, Deployments, "2024-05-06", "2024-05-08")[-1].metadata["newest rows"].value)
    head, rule, *rows = told.splitlines()
    names = head.strip("| ").split(" | ")
    assert names[:3] == ["source", "service", "env"]
    assert names[-1] == "deployment_id"
    assert "commit_sha" not in names
    assert rule == "| " + " | ".join(["---"] * len(names)) + " |"
    assert len(rows) == 10
    assert "| 2024-05-08 11:00:00Z |" in rows[0]
    # What means something in Markdown is shown as it was told.
    assert r"| 8\|11 | \*sales\* |" in rows[0]


def test_rows_and_plot_end_with_the_last_day_of_the_run(filled: TestHome) -> None:
    shown(filled, Deployments, "2024-05-08", "2024-05-08")
    (event,) = shown(filled, Deployments, "2024-05-06", "2024-05-06")
    assert "2024-05-08" not in str(event.metadata["newest rows"].value)
    picture = str(event.metadata["last 90 days"].value)
    assert "2024-05-06" in picture
    assert "2024-05-08" not in picture


def test_the_plot_is_a_picture_that_is_short_enough_to_be_shown_at_once(filled: TestHome) -> None:
    picture = str(shown(filled, Deployments, "2024-05-06", "2024-05-08")[-1].metadata["last 90 days"].value)
    assert len(picture) < 1000
    match = re.fullmatch(r"Deployments per day\n\n!\[\]\(<data:image/svg\+xml,([^<>#\"]+)>\)", picture)
    assert match
    drawing = unquote(match[1])
    assert texts(drawing) == ["12", "0", "2024-02-09", "2024-05-08"]
    # 87 days of four units, then three of full height.
    assert path(drawing) == "M0 0" + "h4" * 87 + "v-100h4h4h4V0"


def test_a_table_without_rows_says_so(filled: TestHome) -> None:
    (event,) = shown(filled, Failures, "2024-05-06", "2024-05-06")
    assert event.metadata["newest rows"].value == "none"


def test_a_table_without_days_has_rows_and_no_plot(filled: TestHome) -> None:
    (event,) = shown(filled, SourceSelections, "", "")
    assert "failure_event_api" in str(event.metadata["newest rows"].value).replace("\\", "")
    assert "last 90 days" not in event.metadata


# Plots


def test_counts_are_bars_and_a_day_without_any_is_zero() -> None:
    drawing = svg(plot("count", d0507=2.0, d0508=8.0))
    assert texts(drawing) == ["8", "0", "2024-02-09", "2024-05-08"]
    assert path(drawing) == "M0 0" + "h4" * 88 + "v-25h4v-75h4V0"


def test_durations_are_dots_in_a_unit_that_fits_and_a_day_without_data_is_a_gap() -> None:
    drawing = svg(plot("seconds", d0505=7200.0, d0508=3600.0))
    assert texts(drawing) == ["2 h", "0", "2024-02-09", "2024-05-08"]
    assert path(drawing) == "m346,-100h0m12,50h0"


@pytest.mark.parametrize(
    ("seconds", "label"),
    [(30.0, "30 s"), (60.0, "1 min"), (5400.0, "1.5 h"), (45 * 86400.0, "45 d")],
)
def test_the_axis_tells_its_unit(seconds: float, label: str) -> None:
    assert texts(svg(plot("seconds", d0508=seconds)))[0] == label


def test_a_zero_is_a_dot_on_the_axis() -> None:
    assert path(svg(plot("ratio", d0508=0.0))) == "m358,0h0"
    assert texts(svg(plot("ratio", d0508=0.0)))[:2] == ["0.1", "0"]


def test_negative_durations_stand_below_the_zero_line() -> None:
    drawing = svg(plot("seconds", d0507=-3600.0, d0508=3600.0))
    assert texts(drawing) == ["1 h", "0", "-1 h", "2024-02-09", "2024-05-08"]
    assert path(drawing) == "m354,0h0m4,-100h0"


def test_a_plot_without_any_data_is_an_empty_frame() -> None:
    drawing = svg(plot("seconds"))
    assert path(drawing) == ""
    assert texts(drawing)[2:] == ["2024-02-09", "2024-05-08"]
