"""Code versions: each changes with what makes its table, and with nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dora_pipeline.code_versions import files_of
from dora_pipeline.config import project_folder
from dora_pipeline.tables import TABLES

_PRINT = """
import json
from dora_pipeline.code_versions import code_version
from dora_pipeline.tables import TABLES
print(json.dumps({table.table_name: code_version(table) for table in TABLES}))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, to be changed."""
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(project_folder() / "dora_pipeline", tmp_path / "dora_pipeline", ignore=ignored))


def versions(package: Path) -> dict[str, str]:
    """The code versions that a copy of the package gives, by table."""
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    told = subprocess.run([sys.executable, "-c", _PRINT], env=environment, cwd=package.parent, capture_output=True)
    found: dict[str, str] = json.loads(told.stdout)
    return found


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    """The code versions of the package as it is."""
    return versions(project_folder() / "dora_pipeline")


def test_a_change_gives_its_table_another_version_and_no_other_table(package: Path, before: dict[str, str]) -> None:
    assert all(len(version) == 12 for version in before.values())
    for name, table in (
        ("warehouse/sql/metrics/daily.sql", "metrics.daily"),
        ("warehouse/sql/landing/judged_deployments.sql", "core.deployments"),
        ("sources/pagerduty/normalize.py", "core.failures"),
    ):
        path = package / name
        text = path.read_text(encoding="utf-8")
        path.write_text(text + "\n-- 1\n" if name.endswith(".sql") else text + "\n# 1\n", encoding="utf-8")
        after = versions(package)
        path.write_text(text, encoding="utf-8")
        assert {found for found in after if after[found] != before[found]} == {table}


def test_another_comment_and_other_ends_of_lines_make_no_difference_and_a_changed_column_does(
    package: Path, before: dict[str, str]
) -> None:
    path, sql = package / "tables.py", package / "warehouse" / "sql" / "metrics" / "daily.sql"
    text = path.read_text(encoding="utf-8")
    assert text.count('tags = _texts("Tags of the definition, key:value.")') == 1
    path.write_text(text.replace("Tags of the definition", "Labels of the definition"), encoding="utf-8")
    sql.write_bytes(sql.read_bytes().replace(b"\n", b"\r\n"))
    assert versions(package) == before
    path.write_text(
        text.replace('tags = _texts("Tags of the definition', 'labels = _texts("Tags of the definition'),
        encoding="utf-8",
    )
    after = versions(package)
    assert {found for found in after if after[found] != before[found]} == {"core.services"}


def test_every_file_that_is_named_is_there_and_every_statement_of_core_and_metrics_is_named() -> None:
    package = project_folder() / "dora_pipeline"
    named = {path for table in TABLES for path in files_of(table)}
    assert [path for path in named if not (package / path).is_file()] == []
    statements = {f"warehouse/sql/{table.table_name.replace('.', '/')}.sql" for table in TABLES}
    assert {path for path in statements if (package / path).is_file()} <= named
    texts = [(package / path).read_text(encoding="utf-8") for path in named if path.endswith(".sql")]
    parts = {part for text in texts for part in re.findall(r"\{(\w+\.\w+)\}", text)}
    assert {f"warehouse/sql/{part.replace('.', '/')}.sql" for part in parts} <= named
