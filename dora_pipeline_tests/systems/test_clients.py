"""docs/clients.md as it stands there: Polars, pandas, Arrow and Superset's engine read the warehouse."""

import json
import re
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from dora_pipeline.config import project_folder
from dora_pipeline_tests.homes import TestHome

GUIDE = (project_folder() / "docs" / "clients.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published warehouse with one deployment."""
    home = TestHome(tmp_path_factory.mktemp("clients") / "home")
    home.select_events()
    home.deploy("shop", "2026-01-05 10:00:00", team="sales")
    home.run()
    return home.home.warehouse


def test_each_library_of_the_guide_gets_the_frame_that_it_says(
    warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(warehouse.parent)
    (snippet,) = [code for code in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if ".pl()" in code]
    kinds = {"pl": polars.DataFrame, "df": pandas.DataFrame, "to_arrow_table": pyarrow.Table}
    for method, kind in kinds.items():
        assert f"`.{method}()`" in GUIDE
        names: dict[str, Any] = {}
        exec(snippet.replace(".pl()", f".{method}()"), names)
        assert isinstance(names["teams"], kind)
        assert [str(team) for team in {*names["teams"]["team"]}] == ["sales"]


def test_the_engine_of_superset_reads_and_does_not_write(warehouse: Path) -> None:
    ((address, parameters),) = re.findall(r"^\| Superset .*?`(duckdb:.+?)`.*?`(\{.+\})` \|$", GUIDE, re.MULTILINE)
    engine = create_engine(address.replace("/warehouse/warehouse.duckdb", str(warehouse)), **json.loads(parameters))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT team, deployments FROM metrics.daily")).all() == [("sales", 1)]
        with pytest.raises(DBAPIError, match="read-only"):
            connection.execute(text("DELETE FROM core.deployments"))
    engine.dispose()
