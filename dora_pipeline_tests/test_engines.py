"""The engine that settings ask for, and the short list of functions that Spark is trusted with."""

import sys
from pathlib import Path

import pytest

from dora_pipeline.errors import ConfigError, WarehouseError
from dora_pipeline.settings import read_settings
from dora_pipeline.warehouse.engines.translation import columns_read, spark_steps, tables_read
from dora_pipeline.warehouse.queries import statement
from dora_pipeline_tests.homes import TestHome

# What a run hands to its engine, and the views that it reads.
STATEMENTS = (
    "core.apm_version_activity",
    "core.deployment_commits",
    "core.deployments",
    "core.failed_changes",
    "core.failure_links",
    "core.failures",
    "landing.chain_names",
    "landing.chains",
    "landing.deployment_kinds",
    "landing.failed_changes",
    "landing.failure_links",
    "landing.inferred_deployments",
    "landing.judged_deployments",
    "landing.judged_failures",
    "landing.repeated_commits",
    "metrics.daily",
    "metrics.measures",
)


@pytest.mark.parametrize("name", STATEMENTS)
def test_statements_of_the_transformation_hold_only_what_is_on_the_short_list(name: str) -> None:
    *_, last = spark_steps(statement(name), name)
    assert last.view == name.replace(".", "_")
    assert "APPROX" not in last.query.upper()


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("SELECT REGEXP_MATCHES(d.version, $pattern) AS x FROM core.deployments AS d", "REGEXP_MATCHES"),
        ("SELECT EVEN_NEWER(d.version) AS x FROM core.deployments AS d", "EVEN_NEWER"),
        ("SELECT APPROX_QUANTILE(d.lead_time_mean_seconds, 0.5) AS x FROM core.deployments AS d", "APPROX_QUANTILE"),
        ("SELECT MEDIAN(d.lead_time_mean_seconds) AS x FROM core.deployments AS d", "MEDIAN"),
        ("SELECT AVG(d.lead_time_mean_seconds) AS x FROM core.deployments AS d", "AVG"),
        ("SELECT MIN_BY(d.team, d.day) AS x FROM core.deployments AS d", "MIN_BY"),
        ("SELECT MIN_BY(d.team, d.day) FILTER (WHERE d.env IS NOT NULL) AS x FROM core.deployments AS d", "MIN_BY"),
        ("SELECT CAST(d.finished_at AS VARCHAR) AS x FROM core.deployments AS d", "CAST to VARCHAR"),
        ("SELECT DATE_DIFF('day', d.started_at, d.finished_at) AS x FROM core.deployments AS d", "DATE_DIFF of day"),
        ("SELECT CAST(d.day AS TIMESTAMP) AT TIME ZONE 'UTC' AS x FROM core.deployments AS d", "AT TIME ZONE"),
        ("SELECT JSON_OBJECT('a', d.team) AS x FROM core.deployments AS d", "JSON_OBJECT"),
        ("SELECT ROW_NUMBER() OVER () AS x FROM core.deployments AS d", "ROW_NUMBER"),
        ("DELETE FROM core.deployments", "DELETE"),
    ],
)
def test_whatever_is_not_known_to_give_the_same_is_refused(query: str, named: str) -> None:
    with pytest.raises(WarehouseError, match=f"^{named}.*: is not among what is known to give the same"):
        spark_steps(query, "x")


def test_functions_of_the_short_list_are_written_as_spark_has_them() -> None:
    text = """
        WITH given AS (SELECT d.tags, d.a, d.seconds FROM core.deployments AS d), twice AS (SELECT * FROM given)
        SELECT
            [t FOR t, place IN x.tags IF LIST_POSITION(x.tags, t) = place] AS tags, SUM(y.a) AS a,
            PERCENTILE_CONT([0.5]) WITHIN GROUP (ORDER BY y.seconds) AS p
        FROM twice AS x CROSS JOIN twice AS y WHERE y.at > TO_MICROSECONDS($gap_us)
    """
    given, twice, last = spark_steps(text, "metrics.x")
    assert (given.view, given.is_kept, twice.view, twice.is_kept) == ("metrics_x_given", False, "metrics_x_twice", True)
    assert given.query == "SELECT d.tags, d.a, d.seconds FROM core_deployments AS d"
    assert last.query == (
        "SELECT FILTER(x.tags, (t, place) -> ARRAY_POSITION(x.tags, t) = (place + 1)) AS tags, "
        "SUM(CAST(y.a AS DECIMAL(38, 0))) AS a, PERCENTILE(y.seconds, ARRAY(0.5)) AS p "
        "FROM metrics_x_twice AS x CROSS JOIN metrics_x_twice AS y "
        "WHERE y.at > MAKE_DT_INTERVAL(0, 0, 0, CAST(CAST(:gap_us AS DECIMAL(38, 0)) / 1000000 AS DECIMAL(18, 6)))"
    )
    assert tables_read(text) == {"core.deployments"}


@pytest.mark.parametrize(
    ("engine", "wrong"),
    [
        ({"kind": "sail"}, "engine.kind: "),
        ({"kind": "spark"}, "engine: kind spark needs url and storage"),
        ({"url": "sc://spark", "storage": "/shared"}, "engine: url is of kind spark"),
        ({"delta": True}, "engine: delta needs storage"),
        ({"storage": "relative/path"}, "engine.storage: must be an absolute path, or s3://BUCKET"),
        ({"storage": "/shared/do*a"}, "engine.storage: must be a path without any of *?"),
        ({"storage": "s3://key:secret@bucket/x"}, "engine.storage: must be an absolute path, or s3://BUCKET"),
        ({"kind": "spark", "url": "spark:7077", "storage": "/shared"}, "engine.url: must be sc://HOST"),
        ({"kind": "spark", "url": "sc://spark/;token=x", "storage": "/shared"}, "a token stands in DORA_SPARK_TOKEN"),
    ],
)
def test_an_engine_that_cannot_be_used_is_a_mistake_of_the_settings(
    tmp_path: Path, engine: dict[str, str | bool], wrong: str
) -> None:
    home = TestHome(tmp_path)
    home.settings(engine=engine)
    with pytest.raises(ConfigError) as raised:
        read_settings(home.home)
    assert wrong in str(raised.value)


@pytest.mark.parametrize(
    ("engine", "package", "module", "extra"),
    [
        ({"kind": "spark", "url": "sc://127.0.0.1:1"}, "pyspark", "engines.spark", "spark"),
        ({"delta": True}, "deltalake", "storage.delta_tables", "delta"),
    ],
)
def test_a_run_without_the_packages_of_its_engine_says_what_to_install(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: dict[str, str | bool],
    package: str,
    module: str,
    extra: str,
) -> None:
    home = TestHome(tmp_path)
    home.settings(engine={**engine, "storage": str(tmp_path)})
    home.select_events()
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"dora_pipeline.warehouse.{module}", raising=False)
    with pytest.raises(ConfigError, match=rf"{extra} needs packages .* -m pip install --editable '.*\[{extra}\]'"):
        home.run()
    assert not home.home.warehouse.exists()


@pytest.mark.parametrize(
    ("text", "table", "read"),
    [
        ("SELECT d.a FROM core.x AS d JOIN core.y AS y USING (b) WHERE d.C > 1", "core.x", ["a", "b", "c"]),
        ("WITH o AS (SELECT a FROM core.x) SELECT *, COUNT(*) AS n FROM o", "core.x", ["a"]),
        ("WITH o AS (SELECT * FROM core.x) SELECT a FROM o", "core.x", ["a", "b", "c"]),
        ("WITH o AS (FROM core.x) SELECT a FROM o", "core.x", ["a", "b", "c"]),
        ("SELECT o.a, d.* FROM core.y AS o, core.x AS d", "core.x", ["a", "b", "c"]),
        (
            "SELECT * EXCLUDE (b) FROM (SELECT a, b FROM core.y) AS o JOIN core.x AS d ON TRUE",
            "core.x",
            ["a", "b", "c"],
        ),
        ("SELECT a FROM core.y WHERE b IN (FROM days)", "days", ["a", "b", "c"]),
        ("SELECT COUNT(*) AS n FROM core.x", "core.x", ["a"]),
    ],
)
def test_of_a_table_go_to_spark_the_columns_that_a_statement_may_read(text: str, table: str, read: list[str]) -> None:
    assert columns_read(text, table, ["a", "b", "c"]) == read
