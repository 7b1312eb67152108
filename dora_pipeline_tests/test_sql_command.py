"""`dora sql`: what it shows, what it refuses, and that it writes nothing."""

import csv
import io
import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from dora_pipeline.tables import TABLES, VIEWS
from dora_pipeline_tests.command import Answer, command_line, environment
from dora_pipeline_tests.homes import TestHome, moment
from dora_pipeline_tests.sending import Sender
from dora_pipeline_tests.waiting import PATIENCE

Sql = Callable[..., Answer]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home that was loaded once. Nothing may change it."""
    home = TestHome(tmp_path_factory.mktemp("loaded") / "home")
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00", version="1", custom_tags=["team:a", 'quote:"'])
    home.deploy("shop", "2024-05-07 10:00:00", version="2")
    home.fail(["shop"], "2024-05-07 11:00:00", "2024-05-07 12:30:00")
    home.run()
    return home


@pytest.fixture
def sql(loaded: TestHome, dora: Sender, monkeypatch: pytest.MonkeyPatch) -> Sql:
    """Runs `dora sql` on the loaded home."""
    monkeypatch.setenv("DORA_HOME", str(loaded.home.path))
    return partial(dora, "sql")


def _one_line(answer: Answer) -> str:
    """The only line on stderr."""
    (line,) = answer.err.splitlines()
    return line


def test_sql_as_a_table(sql: Sql) -> None:
    answer = sql("SELECT service, finished_at FROM core.deployments ORDER BY finished_at")
    assert answer.code == 0
    assert "service" in answer.out
    assert "2024-05-06 10:00:00+00" in answer.out


def test_sql_as_csv_with_lists_and_times(sql: Sql) -> None:
    query = "SELECT version, custom_tags, finished_at, team FROM core.deployments ORDER BY finished_at -- two of them"
    answer = sql(query, "--format", "csv")
    assert answer.code == 0
    rows = list(csv.reader(io.StringIO(answer.out)))
    assert rows[0] == ["version", "custom_tags", "finished_at", "team"]
    assert rows[1][0] == "1"
    assert "team:a" in rows[1][1]
    assert rows[1][2] == "2024-05-06 10:00:00+00"
    assert rows[2] == ["2", "[]", "2024-05-07 10:00:00+00", ""]


def test_a_query_may_begin_with_a_comment_and_an_option_is_one_still(sql: Sql) -> None:
    answer = sql("-- Of all days.\nSELECT COUNT(*) AS deployments FROM core.deployments", "--format", "csv")
    assert (answer.code, answer.out.split()) == (0, ["deployments", "2"]), answer.err
    assert "give one query, not 0" in sql("-- nothing else").err
    wrong = sql("--fromat", "csv", "SELECT 1")
    assert (wrong.code, "No such option" in wrong.err) == (2, True)


def test_sql_as_json_with_lists_and_times(sql: Sql) -> None:
    query = "SELECT version, custom_tags, finished_at, team, day FROM core.deployments ORDER BY finished_at;"
    answer = sql(query, "--format", "json")
    assert json.loads(answer.out) == [
        {
            "version": "1",
            "custom_tags": ["team:a", 'quote:"'],
            "finished_at": "2024-05-06 10:00:00+00",
            "team": None,
            "day": "2024-05-06",
        },
        {"version": "2", "custom_tags": [], "finished_at": "2024-05-07 10:00:00+00", "team": None, "day": "2024-05-07"},
    ]


def test_sql_as_parquet_with_lists_and_times(sql: Sql, loaded: TestHome, tmp_path: Path) -> None:
    result = tmp_path / "result.parquet"
    query = "SELECT version, custom_tags, finished_at FROM core.deployments ORDER BY finished_at"
    with result.open("wb") as output:
        command = [*command_line("sql"), query, "--format", "parquet"]
        subprocess.run(command, stdout=output, env=environment(loaded.home.path), check=True, timeout=PATIENCE)
    assert pl.read_parquet(result).rows() == [
        ("1", ["team:a", 'quote:"'], moment("2024-05-06 10:00:00")),
        ("2", [], moment("2024-05-07 10:00:00")),
    ]


def test_sql_without_rows_is_a_header_or_an_empty_list(sql: Sql) -> None:
    query = "SELECT service, env FROM core.deployments WHERE false"
    assert sql(query, "--format", "csv").out == "service,env\n"
    assert json.loads(sql(query, "--format", "json").out) == []


def test_sql_appends_to_a_file_without_emptying_it(loaded: TestHome, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("kept\n")
    with path.open("a") as out:
        line = command_line("sql", "SELECT 1 AS one", "--format", "csv")
        subprocess.run(line, env=environment(loaded.home.path), stdout=out, check=True)
    assert path.read_text() == "kept\none\n1\n"


@pytest.mark.parametrize("form", ["table", "csv", "json"])
@pytest.mark.parametrize("query", ["SELECT nothing FROM nowhere", "SELEC 1", "", "SELECT 1; SELECT 2"])
def test_wrong_sql_is_one_line(sql: Sql, query: str, form: str) -> None:
    answer = sql(query, "--format", form)
    assert answer.code == 1
    assert answer.out == ""
    assert _one_line(answer).startswith("dora: ")
    assert "COPY" not in answer.err


def test_sql_before_the_first_run_says_what_makes_a_warehouse(
    home: TestHome, dora: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    answer = dora("sql", "SELECT 1")
    assert answer.code == 1
    assert "`dora run` makes it" in _one_line(answer)


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_pipe_that_closes_early_leaves_no_words(loaded: TestHome, form: str) -> None:
    line = command_line("sql", "SELECT * FROM range(300000)", "--format", form)
    with subprocess.Popen(
        line, env=environment(loaded.home.path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        assert started.stdout.readline() != b""
        started.stdout.close()
        assert started.stderr.read() == b""
        assert started.wait() in (0, 1)


# What is refused

_FILES = {
    "budget.csv": "team,euros\nsales,7\n",
    "saved/schema.sql": "COPY (SELECT 1) TO 'imported.csv';",
    "saved/load.sql": "",
}
_WRITING = [
    "DELETE FROM core.deployments",
    "DROP TABLE core.deployments",
    "CREATE TABLE core.mine AS SELECT 1",
    "CREATE TEMP TABLE mine AS SELECT 1",
    "CREATE TEMP TABLE mine AS PIVOT core.deployments ON env USING COUNT(*)",
    "CREATE MACRO mine(a) AS a",
    "CREATE TEMP MACRO mine(a) AS a",
    "CREATE SECRET mine (TYPE http)",
    "INSERT INTO core.services SELECT * FROM core.services",
    "UPDATE core.deployments SET team = 'x'",
    "MERGE INTO core.services AS s USING core.services AS t ON s.service = t.service WHEN MATCHED THEN DELETE",
    "COMMENT ON TABLE core.services IS 'x'",
    "ALTER TABLE core.services RENAME TO mine",
    "COPY (SELECT 1) TO 'written.csv'",
    "COPY (PIVOT core.deployments ON env USING COUNT(*)) TO 'written.csv'",
    "COPY core.services FROM 'budget.csv'",
    "WITH w AS (COPY (SELECT 1) TO 'written.csv') SELECT * FROM w",
    "WITH w AS (DELETE FROM core.services RETURNING *) SELECT * FROM w",
    "FROM query('WITH w AS (COPY (SELECT 1) TO ''written.csv'') SELECT * FROM w')",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'written.csv'",
    "explain analyze /* COPY */ copy (SELECT 1) TO 'written.csv'",
    "EXPLAIN (ANALYZE, FORMAT json) COPY (SELECT 1) TO 'written.csv'",
    "EXPLAIN ANALYZE COPY (PIVOT core.deployments ON env USING COUNT(*)) TO 'written.csv'",
    "EXPLAIN ANALYZE WITH w AS (COPY (SELECT 1) TO 'written.csv') SELECT * FROM w",
    "EXPLAIN ANALYZE CREATE TABLE mine AS SELECT 1",
    "EXPLAIN ANALYZE DELETE FROM core.deployments",
    "EXPLAIN ANALYZE SET threads = 1",
    "EXPLAIN ANALYZE LOAD 'mine.duckdb_extension'",
    "EXPLAIN ANALYZE CALL enable_logging(storage = 'file', storage_path = 'logs')",
    "EXPLAIN ANALYZE CHECKPOINT",
    "EXPORT DATABASE 'exported'",
    "IMPORT DATABASE 'saved'",
    "COPY FROM DATABASE warehouse TO other",
    "ATTACH 'other.duckdb' AS other",
    "ATTACH ':memory:' AS other",
    "DETACH warehouse",
    "USE core",
    "CONNECT 'other.duckdb'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CALL enable_logging(storage = 'file', storage_path = 'logs')",
    "FROM enable_logging(storage = 'file', storage_path = 'logs')",
    "CALL enable_profiling(save_location = 'profile.json')",
    "FROM enable_profiling(save_location = 'profile.json')",
    "PRAGMA enable_profiling = 'json'",
    "PRAGMA profiling_output = 'profile.json'",
    "PRAGMA enable_profiling",
    "PRAGMA import_database('saved')",
    "PRAGMA copy_database('warehouse', 'other')",
    "PRAGMA threads = 1",
    "SET threads = 1",
    "SET enable_external_access = true",
    "SET VARIABLE mine = 1",
    "RESET threads",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "BEGIN",
    "PREPARE mine AS SELECT 1",
    "EXECUTE mine",
    "DEALLOCATE mine",
]
_READING = [
    "SELECT service FROM core.deployments",
    "  -- a comment\n SELECT 1 /* ; */ ; -- another",
    "FROM core.deployments SELECT service",
    "FROM core.deployments",
    "TABLE core.deployments",
    "VALUES (1), (2)",
    "(SELECT 1)",
    "WITH d AS (FROM core.deployments) SELECT COUNT(*) FROM d",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) FROM r",
    "SELECT 1 UNION ALL BY NAME SELECT 2 AS b",
    "PIVOT core.deployments ON env USING COUNT(*)",
    "PIVOT core.deployments ON env USING COUNT(*) GROUP BY service ORDER BY service; -- two",
    "WITH p AS (PIVOT core.deployments ON env USING COUNT(*)) FROM p",
    "UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b INTO NAME n VALUE v",
    "SHOW ALL TABLES",
    "SHOW databases",
    "DESCRIBE core.deployments",
    "DESCRIBE SELECT 1",
    "SUMMARIZE core.deployments",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE FROM core.deployments",
    "EXPLAIN (FORMAT json) SELECT 'ä' AS ä",
    "EXPLAIN PIVOT core.deployments ON env USING COUNT(*)",
    "PRAGMA version",
    "PRAGMA database_size",
    "PRAGMA table_info('core.deployments')",
    "CALL pragma_version()",
    "FROM duckdb_tables() SELECT table_name",
    "FROM query('SELECT 1')",
    "FROM metrics.summary('month', DATE '2024-05-01', DATE '2024-05-31')",
]
_READING_FILES = [
    "FROM 'budget.csv'",
    "FROM read_csv('budget.csv')",
    "FROM read_text('budget.csv')",
    "FROM read_blob('budget.csv')",
    "FROM sniff_csv('budget.csv')",
    "FROM glob('*')",
    "SELECT (SELECT COUNT(*) FROM 'budget.csv') FROM core.deployments",
    "EXPLAIN ANALYZE FROM 'budget.csv'",
    "FROM query('FROM ''budget.csv''')",
]


@pytest.fixture
def folder(loaded: TestHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with files that a query may find there."""
    for name, content in _FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _files(*folders: Path) -> dict[str, tuple[int, int]]:
    """Every file below folders, with its size and last change."""
    found = [path for folder in folders for path in folder.rglob("*")]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


@pytest.mark.parametrize("options", [(), ("--files",)], ids=["alone", "with files"])
@pytest.mark.parametrize("statement", _WRITING)
def test_what_does_more_than_read_is_refused_and_writes_nothing(
    loaded: TestHome, sql: Sql, folder: Path, statement: str, options: tuple[str, ...]
) -> None:
    before = _files(folder, loaded.home.path)
    answer = sql(statement, *options)
    assert (answer.code, answer.out) == (1, "")
    assert "refused: the query is read-only" in _one_line(answer)
    assert _files(folder, loaded.home.path) == before


@pytest.mark.parametrize("options", [(), ("--files",)], ids=["alone", "with files"])
@pytest.mark.parametrize("form", ["table", "lines", "csv", "json"])
def test_what_only_reads_is_shown_in_every_form(
    loaded: TestHome, sql: Sql, folder: Path, form: str, options: tuple[str, ...]
) -> None:
    before = _files(folder, loaded.home.path)
    for statement in _READING:
        answer = sql(statement, "--format", form, *options)
        assert answer.code == 0, (statement, answer.err)
        assert answer.out
    assert _files(folder, loaded.home.path) == before


def test_json_of_what_is_no_query_is_a_list_too(sql: Sql) -> None:
    [version] = json.loads(sql("PRAGMA version", "--format", "json").out)
    assert version["library_version"].startswith("v")
    assert json.loads(sql("PRAGMA show_tables", "--format", "json").out) == []


@pytest.mark.parametrize("statement", _READING_FILES)
def test_files_are_out_of_reach_unless_they_are_asked_for(
    loaded: TestHome, sql: Sql, folder: Path, statement: str
) -> None:
    before = _files(folder, loaded.home.path)
    answer = sql(statement, "--format", "csv")
    assert (answer.code, answer.out) == (1, "")
    assert "`--files` lets the query read them" in _one_line(answer)
    answer = sql(statement, "--format", "csv", "--files")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out
    assert _files(folder, loaded.home.path) == before


def test_files_are_joined_with_the_warehouse(sql: Sql, folder: Path) -> None:
    query = "SELECT COUNT(*) AS n FROM core.deployments, 'budget.csv' WHERE euros = 7"
    assert sql(query, "--format", "csv", "--files").out == "n\n2\n"


def test_names_of_the_program_are_no_tables(sql: Sql) -> None:
    for name in ("relation", "connection", "statement"):
        assert f"Table with name {name} does not exist" in _one_line(sql(f"FROM {name}"))


# Where the query comes from, and how it is shown


def _from_stdin(
    loaded: TestHome, content: bytes, *arguments: str, name: str | None = "-"
) -> subprocess.CompletedProcess[bytes]:
    line = command_line("sql", *filter(None, [name]), *arguments)
    return subprocess.run(line, env=environment(loaded.home.path), input=content, capture_output=True, timeout=PATIENCE)


def test_a_query_is_read_from_stdin(loaded: TestHome) -> None:
    query = "SELECT 'ä;' AS a -- one\n;\n".encode()
    for name in ("-", None):
        answer = _from_stdin(loaded, query, "--format", "csv", name=name)
        assert (answer.returncode, answer.stdout.decode(), answer.stderr) == (0, "a\nä;\n", b"")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"COPY (SELECT 1) TO 'x.csv'", "the query is read-only"),
        (b"", "give one query, not 0"),
        (b"SELECT '\xff'", "the query on stdin is not UTF-8 text (byte 8)"),
        (b"SELECT 1\0; DROP TABLE core.deployments", "give one query, not 2"),
    ],
)
def test_a_wrong_query_on_stdin_is_one_line(loaded: TestHome, content: bytes, said: str) -> None:
    answer = _from_stdin(loaded, content)
    assert (answer.returncode, answer.stdout) == (1, b"")
    [line] = answer.stderr.decode().splitlines()
    assert said in line


def test_a_query_of_other_bytes_than_utf8_is_one_line(sql: Sql) -> None:
    assert _one_line(sql("SELECT '\udcff'")) == "dora: the query is not UTF-8 text"


def test_lines_show_one_column_a_line(sql: Sql) -> None:
    query = "SELECT version, team, custom_tags, finished_at FROM core.deployments ORDER BY finished_at"
    assert sql(query, "--format", "lines").out == (
        "version     = 1\n"
        "team        = NULL\n"
        "custom_tags = ['team:a', 'quote:\"']\n"
        "finished_at = 2024-05-06 10:00:00+00\n"
        "\n"
        "version     = 2\n"
        "team        = NULL\n"
        "custom_tags = []\n"
        "finished_at = 2024-05-07 10:00:00+00\n"
    )


def test_lines_of_a_long_text_are_indented_and_none_is_cut(sql: Sql) -> None:
    answer = sql("SELECT 'a' || chr(10) || repeat('b', 3000) AS text, 1 AS n", "--format", "lines")
    assert answer.out == f"text = a\n       {'b' * 3000}\nn    = 1\n"


def test_lines_show_every_row(sql: Sql) -> None:
    assert sql("SELECT range AS n FROM range(2500)", "--format", "lines").out.count("n = ") == 2500
    answer = sql("SELECT 1 AS n WHERE false", "--format", "lines")
    assert (answer.code, answer.out, answer.err) == (0, "", "no rows\n")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (f"SELECT {', '.join(f'{number} AS column_{number}' for number in range(40))}", " of 40 columns are shown"),
        ("SELECT repeat('x', 300) AS text FROM range(900)", "texts are cut"),
    ],
)
def test_a_table_that_is_too_wide_says_so(sql: Sql, monkeypatch: pytest.MonkeyPatch, query: str, said: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    answer = sql(query)
    assert answer.code == 0
    line = _one_line(answer)
    assert line.startswith("The table is too wide for 80 characters: ")
    assert said in line
    assert line.endswith("`--format lines` shows all of it.")
    assert all(len(line) <= 80 for line in answer.out.splitlines())


def test_a_table_that_fits_says_nothing(sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert sql("SELECT 1 AS a, 2 AS b").err == ""


def test_show_tables_lists_the_tables_that_there_are_with_what_they_hold(sql: Sql) -> None:
    shown = [row[:3] for row in csv.reader(io.StringIO(sql("show tables;", "--format", "csv").out))]
    names = {table.table_name for table in (*TABLES, *VIEWS) if table.table_name.startswith(("core.", "metrics."))}
    assert shown[0] == ["name", "kind", "holds"]
    assert {name for name, kind, _ in shown[1:] if kind != "macro"} == names
    assert ["core.services", "table", "Services of the catalog"] in shown
    assert "metrics.summary(grain, from_day, to_day)" in {name for name, kind, _ in shown if kind == "macro"}


def test_times_are_shown_in_the_configured_zone_where_that_is_asked_for(loaded: TestHome, sql: Sql) -> None:
    query = "SELECT finished_at FROM core.deployments ORDER BY finished_at LIMIT 1"
    loaded.settings(timezone="Asia/Kolkata")
    try:
        assert sql(query, "--format", "csv").out == "finished_at\n2024-05-06 10:00:00+00\n"
        for form in ("table", "lines", "csv", "json"):
            assert "2024-05-06 15:30:00+05:30" in sql(query, "--zone", "--format", form).out
    finally:
        loaded.home.settings_file.unlink()
