"""Documents that can fail: what README, docs and lock files say is what the program has."""

import json
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest
import sqlglot
import yaml
from packaging.version import Version
from pydantic import BaseModel
from sqlglot.errors import ErrorLevel

from dora_pipeline.cli.main import dora
from dora_pipeline.config import project_folder
from dora_pipeline.intake.web.bodies import DeploymentRequest
from dora_pipeline.intake.web.routes import OPERATIONS
from dora_pipeline.report.words import REASONS
from dora_pipeline.settings import HomeSettings
from dora_pipeline.sources.apm.settings import ApmSettings
from dora_pipeline.sources.registry import SOURCES
from dora_pipeline.tables import Deployments
from dora_pipeline.warehouse.dictionary import dictionary
from dora_pipeline.warehouse.queries import statement
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.repository import tracked_files

PROJECT = project_folder()
README = (PROJECT / "README.md").read_text(encoding="utf-8")
SETTINGS_GUIDE = (PROJECT / "docs" / "settings.md").read_text(encoding="utf-8")
CLIENTS = (PROJECT / "docs" / "clients.md").read_text(encoding="utf-8")
OPERATING = (PROJECT / "docs" / "operating.md").read_text(encoding="utf-8")
GUIDES = [README, *(path.read_text(encoding="utf-8") for path in sorted((PROJECT / "docs").glob("*.md")))]
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
METADATA: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
DEPENDENCIES: list[str] = METADATA["project"]["dependencies"]
DEV_DEPENDENCIES: list[str] = METADATA["project"]["optional-dependencies"]["dev"]
COMMANDS = {name: dora.get_command(click.Context(dora), name) for name in dora.list_commands(click.Context(dora))}
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", "\n".join(GUIDES), re.MULTILINE | re.DOTALL)


def _leaves(model: type[BaseModel], above: str = "") -> list[str]:
    """The keys of settings that hold a value, dotted."""
    keys = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys += _leaves(inner, f"{above}{name}.")
        else:
            keys.append(above + name)
    return keys


SETTINGS = _leaves(HomeSettings)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_in_the_guide(command: str) -> None:
    assert f"| `dora {command}` |" in (PROJECT / "docs" / "commands.md").read_text(encoding="utf-8")


def test_the_readme_lists_the_sources_as_they_are_declared() -> None:
    table = README.partition("| source | event | how its events come |\n|---|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == [
        f"| `{source.name}` | {source.event_type} | {source.lineage} |" for source in SOURCES.values()
    ]


def test_every_reason_for_no_lead_time_is_in_the_tables_the_sources_and_the_report() -> None:
    folder = PROJECT / "dora_pipeline" / "warehouse" / "sql"
    queries = [
        path.read_text(encoding="utf-8") for schema in ("landing", "core") for path in (folder / schema).iterdir()
    ]
    cases = [
        case for query in queries for case in re.findall(r"CASE((?:(?!CASE).)*)END AS lead_time_reason", query, re.S)
    ]
    found = {reason for case in cases for reason in re.findall(r"THEN '(\w+)'", case)}
    assert {"duplicate", "no_commit", "no_author_time"} <= found
    # Those that git answers stand in no SQL.
    found |= set(REASONS)
    comment = Deployments.columns()["lead_time_reason"].description
    assert comment is not None
    guide = (PROJECT / "docs" / "sources.md").read_text(encoding="utf-8")
    assert [reason for reason in sorted(found) if not re.search(rf"\b{reason}\b", comment)] == []
    assert [reason for reason in sorted(found) if f"| `{reason}` |" not in guide] == []
    # The report leaves duplicates out.
    assert found - {"duplicate"} == set(REASONS)


@pytest.mark.parametrize("name", sorted({name for source in SOURCES.values() for name in source.secrets}))
def test_every_secret_of_a_source_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_is_in_the_guide(key: str) -> None:
    assert f"| `{key}` |" in SETTINGS_GUIDE


def test_the_guide_names_no_setting_that_is_not_there() -> None:
    table = SETTINGS_GUIDE.partition("| key | default | meaning |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `([a-z_.]+)` \|", table, re.MULTILINE)
    assert len(named) > 5
    assert set(named) == set(SETTINGS)


def test_the_guide_tells_the_defaults() -> None:
    apm, settings = ApmSettings(), HomeSettings()
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    told = dict(re.findall(r"^\| `([a-z_.]+)` \| `?([^`|]+?)`? \|", SETTINGS_GUIDE, re.MULTILINE))
    for key, held in (
        ("merge_window", settings.merge_window),
        ("link_window", settings.link_window),
        ("link_slack", settings.link_slack),
        ("reread", settings.reread),
        ("lock_timeout", settings.lock_timeout),
        ("sources.apm_deployment_tracking.quiet_gap", apm.quiet_gap),
    ):
        assert int(told[key][:-1]) * seconds[told[key][-1]] == held.total_seconds()
    assert told["timezone"] == settings.timezone
    assert float(told["rejected_share"]) == settings.rejected_share
    assert told["sources.apm_deployment_tracking.path"] == apm.path


@pytest.mark.parametrize(
    "path",
    [
        "dora.yaml",
        "source_selections.csv",
        "services/*.yaml",
        "exports/apm/",
        "raw/",
        "intake/",
        "git/",
        "warehouse.duckdb",
    ],
)
def test_every_path_of_the_home_is_in_the_guide(path: str) -> None:
    table = SETTINGS_GUIDE.partition("| path | what |")[2].partition("\n\n")[0]
    assert f"`{path}`" in table


def test_the_environment_that_the_program_reads_is_documented() -> None:
    read = set()
    for path in tracked_files(PROJECT / "dora_pipeline"):
        if path.suffix == ".py":
            read |= set(re.findall(r"environ(?:\.get\(|\[)\"(DORA_[A-Z_]+)\"", path.read_text(encoding="utf-8")))
    assert read
    assert {name for name in read if f"`{name}`" not in OPERATING} == set()


def test_the_dictionary_of_tables_is_up_to_date() -> None:
    assert (PROJECT / "docs" / "tables.md").read_text(encoding="utf-8") == dictionary(), "run `make docs`"


def test_the_changelog_tells_of_this_version() -> None:
    headings = re.findall(r"^## (\S+)", (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == METADATA["project"]["version"]


def test_the_commands_in_code_blocks_exist() -> None:
    shell = "\n".join(text for language, text in BLOCKS if language in ("", "sh", "bash", "console"))
    targets = re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE)
    guides = "\n".join(GUIDES)
    made = re.findall(r"(?:^|`)make ([a-z]+)", shell + guides, re.MULTILINE)
    assert set(made) >= {"demo", "test"}
    assert [target for target in made if target not in targets] == []
    run = re.findall(r"(?:^|bin/|`)dora ([a-z]+)", shell + guides, re.MULTILINE)
    assert set(run) >= {"init", "select", "run", "sql"}
    assert [command for command in run if command not in COMMANDS] == []


def test_the_options_that_the_guides_name_exist() -> None:
    inner = [
        one for command in COMMANDS.values() if isinstance(command, click.Group) for one in command.commands.values()
    ]
    options = {
        option
        for command in (dora, *COMMANDS.values(), *inner)
        for parameter in command.params
        for option in parameter.opts
    }
    text = re.sub(r"```.*?```", "", "\n".join(GUIDES), flags=re.DOTALL)
    assert [option for option in re.findall(r"`(?:dora [a-z]+ )?(--[a-z-]+)", text) if option not in options] == []


def test_the_event_that_the_guide_sends_with_curl_is_one() -> None:
    (command,) = [text for _, text in BLOCKS if text.startswith("curl ")]
    words = shlex.split(command)
    assert words[2].removeprefix("https://dora.example:8443") in {operation.path for operation in OPERATIONS}
    assert [words[at + 1] for at, word in enumerate(words) if word == "-H"] == [
        "DD-API-KEY: $DATADOG_API_KEY",
        "Content-Type: application/json",
    ]
    body = DeploymentRequest.of(json.loads(words[words.index("-d") + 1]))
    assert body.data.attributes.service == "shop"


def test_relative_links_of_the_documents_lead_somewhere() -> None:
    documents = [path for path in tracked_files() if path.suffix == ".md"]
    assert {PROJECT / "README.md", PROJECT / "CHANGELOG.md", PROJECT / "docs" / "production.md"} <= set(documents)
    for document in documents:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home that was loaded once, for what documents say of it."""
    home = TestHome(tmp_path_factory.mktemp("loaded") / "home")
    home.select_events()
    home.deploy("shop", "2026-01-05 10:00:00")
    home.deploy("shop", "2026-01-06 10:00:00", version="hotfix")
    home.fail(["shop"], "2026-01-06 11:00:00")
    home.run()
    return home


def test_the_queries_of_readme_and_guides_run(loaded: TestHome) -> None:
    queries = [query for language, text in BLOCKS if language == "sql" for query in text.split(";") if query.strip()]
    queries += re.findall(r'dora sql "([^"]+)"', README)
    assert len(queries) >= 3
    for query in queries:
        assert loaded.rows(query), query


def test_the_ways_to_open_the_warehouse_that_the_guide_tells_read_and_do_not_write(
    loaded: TestHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(loaded.home.path)
    (python,) = re.findall(r"^\| Python \| `(duckdb\.connect\(.+\))` \|$", CLIENTS, re.MULTILINE)
    (attach,) = re.findall(r"`(ATTACH .+)` \|$", CLIENTS, re.MULTILINE)
    with eval(python, {"duckdb": duckdb}) as opened, duckdb.connect() as attaching:
        attaching.execute(attach)
        for connection in (opened, attaching):
            query = "SELECT deployments FROM metrics.summary('year', DATE '2026-01-01', DATE '2026-12-31')"
            assert connection.execute(query).fetchall() == [(2,)]
            with pytest.raises(duckdb.InvalidInputException, match="read-only"):
                connection.execute("DELETE FROM core.deployments")
    (snippet,) = [text for language, text in BLOCKS if language == "python" and "read_only" in text]
    names: dict[str, Any] = {}
    exec(snippet, names)
    assert names["teams"].filter(deployments=2)["env"].to_list() == ["prod"]


def _asked(query: str, values: dict[str, str]) -> str:
    """A query as Grafana sends it: variables as SQL strings, and days of the dashboard's time."""
    query = re.sub(r"\$\{(\w+):sqlstring\}", lambda match: f"'{values[match[1]]}'", query)
    return query.replace("${__from:date:YYYY-MM-DD}", "2026-01-01").replace("${__to:date:YYYY-MM-DD}", "2026-01-31")


def test_the_dashboard_for_grafana_asks_what_the_warehouse_answers(loaded: TestHome) -> None:
    dashboard = json.loads((PROJECT / "docs" / "clients" / "grafana-dashboard.json").read_text(encoding="utf-8"))
    (source,) = yaml.safe_load((PROJECT / "docs" / "clients" / "grafana-datasource.yaml").read_text())["datasources"]
    variables = dashboard["templating"]["list"]
    choices = {one["name"]: one["query"].split(",") for one in variables if one["type"] == "custom"}
    (env,) = [loaded.rows(one["query"])[0][0] for one in variables if one["type"] == "query"]
    wanted = {"type": source["type"], "uid": source["uid"]}
    # Each panel with another of the pairs, since the answers to all of them take long.
    pairs = list(zip(choices["by"], choices["grain"], strict=True))
    figures = {}
    with duckdb.connect(str(loaded.home.warehouse), read_only=True) as connection:
        for panel in dashboard["panels"]:
            (target,) = panel["targets"]
            assert panel["datasource"] == target["datasource"] == wanted
            by, grain = pairs[panel["id"] % len(pairs)]
            answer = connection.sql(_asked(target["rawSql"], {"env": env, "by": by, "grain": grain}))
            rows = answer.fetchall()
            assert rows, panel["title"]
            assert (target["format"] == 0) == (panel["type"] == "timeseries")
            if panel["type"] == "timeseries":
                assert answer.columns[:2] == ["time", "metric"]
                assert str(answer.types[0]) == "TIMESTAMP"
                figures[panel["title"]] = (by, grain, sum(row[2] or 0 for row in rows))
    assert figures["Deployments"] == ("service", "day", 2)
    assert figures["Change failure rate (failures / deployments)"] == ("repository", "quarter", 0.5)


# Lock files


LOCK_FILES = ("requirements.txt", "requirements-dev.txt", "requirements-systems.txt")


def _lines(name: str) -> list[str]:
    """The lines of a lock file and of the one that it begins with."""
    lines = (PROJECT / name).read_text(encoding="utf-8").splitlines()
    above = lines[0].removeprefix("-r ")
    return [*_lines(above), *lines[1:]] if above != lines[0] else lines


def _locked(name: str) -> dict[str, str]:
    pins = (re.match(r"([a-z0-9._-]+)(?:\[[a-z0-9,]+\])?==([^\s;\\]+)", line) for line in _lines(name))
    return {pin[1]: pin[2] for pin in pins if pin}


@pytest.mark.parametrize(
    ("name", "dependencies"),
    [
        ("requirements.txt", DEPENDENCIES),
        ("requirements-dev.txt", [*DEPENDENCIES, *DEV_DEPENDENCIES]),
        ("requirements-systems.txt", METADATA["project"]["optional-dependencies"]["systems"][1:]),
    ],
)
def test_every_direct_dependency_has_a_floor_that_its_locked_version_is_above(
    name: str, dependencies: list[str]
) -> None:
    locked = _locked(name)
    for dependency in dependencies:
        package, sign, floor = dependency.partition(">=")
        assert sign, f"{dependency} has no floor"
        version = locked.get(package.partition("[")[0])
        assert version is not None, f"run `make lock`: {dependency}"
        assert Version(version) >= Version(floor), f"run `make lock`: {dependency} is locked at {version}"


@pytest.mark.parametrize("name", LOCK_FILES[1:])
def test_a_lock_file_names_only_what_it_adds(name: str) -> None:
    own = (PROJECT / name).read_text(encoding="utf-8").splitlines()[1:]
    named = {line.partition("==")[0].partition("[")[0] for line in own if "==" in line}
    above = set(_locked(LOCK_FILES[LOCK_FILES.index(name) - 1]))
    assert named
    assert named & above == set()


@pytest.mark.parametrize(
    "name", [*LOCK_FILES, "requirements-duckdb-1.2.txt", "requirements-spark.txt", "requirements-sail.txt"]
)
def test_lock_files_hold_a_hash_for_every_package_and_no_addresses(name: str) -> None:
    text = (PROJECT / name).read_text(encoding="utf-8")
    assert re.search(r"https?:|--(extra-)?index|--find-links|--trusted", text) is None
    entries = re.split(r"\n(?=[a-z0-9])", text.strip(), flags=re.IGNORECASE)
    packages = [entry for entry in entries if not entry.startswith("-r ")]
    assert packages
    assert [entry.splitlines()[0] for entry in packages if "--hash=sha256:" not in entry] == []


# Architecture


def test_what_the_architecture_names_is_there() -> None:
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = re.findall(r"`([a-z_/]+(?:/|\.py))`", text)
    assert len(paths) > 20
    package = PROJECT / "dora_pipeline"
    places = (package, package / "intake", PROJECT)
    assert [path for path in paths if not any((place / path).exists() for place in places)] == []


# What the repository may not hold


def test_no_file_holds_a_path_of_this_machine_or_the_host_of_a_registry() -> None:
    hosts = ("pypi" + ".org", "python" + "hosted", "npm" + "js", "docker" + ".io", "proxy." + "golang")
    # A folder right below the root has a name like many others.
    machine = [str(path) for path in (PROJECT, Path(sys.prefix), Path.home()) if len(path.parts) > 2]
    forbidden = re.compile("|".join(re.escape(text) for text in (*hosts, *machine)).encode())
    found = []
    files = tracked_files()
    assert PROJECT / "README.md" in files
    for path in files:
        match = forbidden.search(path.read_bytes())
        if match:
            found.append(f"{path.relative_to(PROJECT)}: {match[0]!r}")
    assert found == []


# SQL for other engines


@pytest.mark.parametrize("name", ["deployment_outcomes", "summary", "summary_by", "period"])
def test_views_and_macros_of_the_metrics_parse_as_spark_sql(name: str) -> None:
    text = statement(f"metrics.{name}")
    body = re.sub(r"^CREATE OR REPLACE MACRO \S+\([^)]*\) AS( TABLE)?\s", "", text, flags=re.MULTILINE)
    if name == "period":
        body = f"SELECT {body.partition('CASE')[1]}{body.partition('CASE')[2]}"
    (tree,) = sqlglot.parse(body, read="duckdb", error_level=ErrorLevel.RAISE)
    assert tree is not None
    assert tree.find(sqlglot.exp.Command) is None
    spark = tree.sql(dialect="spark", unsupported_level=ErrorLevel.RAISE)
    assert sqlglot.parse_one(spark, read="spark", error_level=ErrorLevel.RAISE) is not None
