"""Files among the exports that are not read: named once, with the reason, while everything else loads."""

import gzip
import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from dora_pipeline.pipeline.changes import rules_of, unread_exports
from dora_pipeline.settings import read_settings
from dora_pipeline_tests.command import call
from dora_pipeline_tests.git_histories import History
from dora_pipeline_tests.homes import DEPLOYMENTS_BY_APM, TestHome

_VERSIONS = "SELECT version FROM core.deployments ORDER BY version"
_LEFT_OUT = "SELECT name, split_part(reason, ';', 1) FROM landing.left_out_files ORDER BY name"
_LEAVES = "it is a link that leaves the folder"


def sighting(version: str) -> dict[str, str]:
    """A sighting of a version on a day of its own."""
    return {"timestamp": f"2024-05-0{version}T07:08:09Z", "service": "shop", "env": "prod", "version": version}


@pytest.fixture
def exporting(home: TestHome) -> TestHome:
    """A home that reads exports, with one of a deployment of version 1."""
    home.select("deployment", *DEPLOYMENTS_BY_APM)
    home.drop_export("good.jsonl", [sighting("1")])
    return home


def exports(home: TestHome) -> Path:
    return home.home.path / "exports" / "apm"


def export_elsewhere(folder: Path, version: str) -> Path:
    """An export outside of a home."""
    elsewhere = TestHome(folder)
    return elsewhere.drop_export("export.jsonl", [sighting(version)])


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_name_that_is_no_utf8_is_escaped_and_costs_nothing_else(exporting: TestHome, rebuild: bool) -> None:
    os.link(exports(exporting) / "good.jsonl", os.fsencode(exports(exporting)) + b"/caf\xe9.jsonl")
    exporting.run(rebuild=rebuild)
    assert exporting.rows(_VERSIONS) == [("1",)]
    assert exporting.rows(_LEFT_OUT) == [("exports/apm/caf\\xe9.jsonl", "its name is not UTF-8")]


def test_a_name_of_two_lines_is_read_and_shown_on_one(exporting: TestHome) -> None:
    exporting.drop_export("two\nlines.jsonl", [sighting("2")])
    exporting.drop_export("two\nmore.jsonl", [sighting("2")])
    exporting.run()
    named = ("exports/apm/two\\nlines.jsonl", "exports/apm/two\\nmore.jsonl")
    assert f"{named[0]} has the same content as {named[1]}; it is counted once" in exporting.notes.notes
    assert exporting.rows(_VERSIONS) == [("1",), ("2",)]


def test_an_export_that_holds_nothing_is_told_once(exporting: TestHome) -> None:
    nothing = {"nothing.jsonl": "", "list.json": "[]", "head.csv": "timestamp,service,env,version\n"}
    for name, content in nothing.items():
        (exports(exporting) / name).write_text(content)
    exporting.run()
    told = [f"exports/apm/{name} holds no record" for name in ("head.csv", "list.json", "nothing.jsonl")]
    assert exporting.notes.notes == told
    exporting.run()
    assert exporting.notes.notes == told
    assert exporting.rows("SELECT COUNT(*) FROM core.rejected_events") == [(0,)]


def test_exports_of_which_nothing_can_be_taken_are_named_until_they_are_mended(exporting: TestHome) -> None:
    cut = gzip.compress("".join(f"{json.dumps(sighting(f'2.{n}'))}\n" for n in range(500)).encode())
    (exports(exporting) / "cut.jsonl.gz").write_bytes(cut[:-20])
    (exports(exporting) / "bare.csv").write_text("when,service\n2026-01-01,shop\n")
    pl.DataFrame({"service": ["shop"], "version": ["3"]}).write_parquet(exports(exporting) / "bare.parquet")
    for _ in range(2):
        ran = call(exporting.home.path, "run")
        assert (ran.code, "holds no record" in ran.err) == (0, False)
        [warning] = [line for line in ran.err.splitlines() if "exports of which nothing can be taken" in line]
        assert (
            "(3): exports/apm/bare.csv: it has no column for timestamp, version, exports/apm/bare.parquet: " in warning
        )
        assert "it has no column for timestamp, exports/apm/cut.jsonl.gz: Compressed file ended before" in warning
    for name in ("bare.csv", "bare.parquet"):
        (exports(exporting) / name).unlink()
    (exports(exporting) / "cut.jsonl.gz").write_bytes(cut)
    assert "nothing can be taken" not in call(exporting.home.path, "run").err


def test_a_link_to_what_the_kernel_makes_up_is_not_read(exporting: TestHome, monkeypatch: pytest.MonkeyPatch) -> None:
    (exports(exporting) / "e.json").symlink_to("/proc/self/environ")
    for settings in ({}, {"sources": {"apm_deployment_tracking": {"follow_links_to": ["/"]}}}):
        exporting.settings(**settings)
        exporting.run()
        assert exporting.rows("SELECT COUNT(*) FROM core.rejected_events") == [(0,)]
        assert exporting.rows(_LEFT_OUT) == [("exports/apm/e.json", _LEAVES)]


def test_links_are_followed_to_folders_that_the_settings_name(exporting: TestHome, tmp_path: Path) -> None:
    export = export_elsewhere(tmp_path / "elsewhere", "2")
    (exports(exporting) / "2025").symlink_to(export.parent)
    exporting.run()
    assert exporting.rows(_VERSIONS) == [("1",)]
    assert exporting.rows(_LEFT_OUT) == [("exports/apm/2025", _LEAVES)]
    for named in (str(tmp_path / "elsewhere"), "../elsewhere/exports"):
        exporting.settings(sources={"apm_deployment_tracking": {"follow_links_to": [named]}})
        exporting.run()
        assert exporting.rows(_VERSIONS) == [("1",), ("2",)]
        assert exporting.rows(_LEFT_OUT) == []
    # What is no longer allowed is gone, and named again.
    exporting.settings()
    exporting.run()
    assert exporting.rows(_VERSIONS) == [("1",)]
    assert exporting.rows(_LEFT_OUT) == [("exports/apm/2025", _LEAVES)]


def test_a_service_definition_may_have_a_name_that_is_no_utf8(exporting: TestHome) -> None:
    exporting.home.services.mkdir()
    path = exporting.home.services / os.fsdecode(b"caf\xe9.yaml")
    path.write_text("apiVersion: v3\nkind: service\nmetadata: {name: shop, owner: sales}\n")
    exporting.run()
    assert exporting.rows("SELECT service, team FROM core.services") == [("shop", "sales")]
    before = rules_of(exporting.home)
    path.write_text("apiVersion: v3\nkind: service\nmetadata: {name: shop, owner: others}\n")
    assert rules_of(exporting.home).state != before.state


def test_a_pipe_among_the_exports_holds_nothing_up(exporting: TestHome) -> None:
    os.mkfifo(exports(exporting) / "pipe.jsonl")
    exporting.run()
    assert exporting.rows(_VERSIONS) == [("1",)]
    assert exporting.rows(_LEFT_OUT) == [("exports/apm/pipe.jsonl", "it is no regular file")]


def test_files_with_other_endings_are_named_by_runs_sources_and_checks(exporting: TestHome) -> None:
    for name in ("a.jsonl.bz2", "a.tsv", "a.txt", "a.jsonl.1", "part-00000", "README.txt", ".hidden"):
        (exports(exporting) / name).write_text("text")
    ran = call(exporting.home.path, "run")
    assert ran.code == 0
    [warning] = [line for line in ran.err.splitlines() if line.startswith("warning: files that are left out")]
    assert "(5): exports/apm/a.jsonl.1: its ending is none of .jsonl" in warning
    shown = call(exporting.home.path, "sources", "--verbose").out
    assert "  left out        5 files\n" in shown
    for name in ("a.jsonl.bz2", "a.tsv", "a.txt", "a.jsonl.1", "part-00000"):
        assert shown.count(f"    exports/apm/{name}: its ending is none of .jsonl") == 1
    assert "README" not in shown
    assert "5 files left out; `dora sources --verbose` names them\n" in call(exporting.home.path, "sources").out
    checked = call(exporting.home.path, "check")
    assert checked.code == 0
    assert "warning: files that are left out (5)" in checked.out
    for path in exports(exporting).iterdir():
        if path.name != "good.jsonl":
            path.unlink()
    ran = call(exporting.home.path, "run")
    assert "left out" not in ran.err
    assert "left out" not in call(exporting.home.path, "sources").out


def test_of_many_files_sources_names_the_first(exporting: TestHome) -> None:
    for number in range(30):
        (exports(exporting) / f"{number:02}.txt").write_text("text")
    exporting.run()
    shown = call(exporting.home.path, "sources", "--verbose").out
    assert "  left out        30 files\n" in shown
    assert "exports/apm/19.txt" in shown
    assert "exports/apm/20.txt" not in shown
    assert "    … and others in landing.left_out_files\n" in shown


def test_exports_that_were_dropped_beside_the_folder_are_named_until_they_are_moved(exporting: TestHome) -> None:
    home, reason = exporting.home.path, "it lies beside exports/apm, from which exports are read"
    above = [home / "exports" / "2.json.gz", home / "3.jsonl"]
    for path in (*above, home / "exports" / "notes.txt"):
        path.write_text("")
    exporting.run()
    assert exporting.rows(_LEFT_OUT) == [("3.jsonl", reason), ("exports/2.json.gz", reason)]
    assert f"exports/2.json.gz: {reason}; move it there, or away" in call(home, "sources", "--verbose").out
    for path in above:
        path.unlink()
    exporting.run()
    assert exporting.rows(_LEFT_OUT) == []


def test_another_folder_of_exports_has_left_out_files_of_its_own(exporting: TestHome) -> None:
    (exports(exporting) / "a.txt").write_text("text")
    exporting.run()
    other = exporting.home.path / "exports" / "other"
    other.mkdir()
    for path in exports(exporting).glob("*.jsonl"):
        shutil.copy2(path, other)
    exporting.settings(sources={"apm_deployment_tracking": {"path": "exports/other"}})
    exporting.run()
    assert exporting.rows(_LEFT_OUT) == []


def test_what_is_left_out_starts_no_run(exporting: TestHome, tmp_path: Path) -> None:
    exporting.run()
    export = export_elsewhere(tmp_path / "elsewhere", "2")
    (exports(exporting) / "link.jsonl").symlink_to(export)
    (exports(exporting) / "a.txt").write_text("text")
    later = datetime(2100, 1, 1, tzinfo=UTC)
    assert unread_exports(exporting.home, read_settings(exporting.home), later) is None
    exporting.settings(sources={"apm_deployment_tracking": {"follow_links_to": [str(export.parent)]}})
    change = unread_exports(exporting.home, read_settings(exporting.home), later)
    assert change is not None
    assert change.description == "1 new or changed exports, 0 removed"


def test_a_folder_without_exports_is_named_while_its_source_is_selected_and_not_pulled(home: TestHome) -> None:
    home.select("deployment", *DEPLOYMENTS_BY_APM)
    home.drop_export("good.jsonl", [sighting("1")])
    home.settings(sources={"apm_deployment_tracking": {"path": "export/apm"}})
    ran = call(home.home.path, "run")
    said = f"{home.home.path}/export/apm: there is no such folder; deployments of apm_deployment_tracking are read from"
    assert (ran.code, ran.err.count(said)) == (0, 1)
    assert "warning: folders without exports (1): export/apm/: there is no such folder [" in ran.err
    (home.home.path / "export").mkdir()
    (home.home.path / "export" / "apm").write_text("")
    home.run()
    assert home.rows(_LEFT_OUT) == [("export/apm/", "it is a file")]
    (home.home.path / "export" / "apm").unlink()
    (home.home.path / "export" / "apm").mkdir()
    (home.home.path / "export" / "apm" / "README.md").write_text("nothing yet")
    home.run()
    assert home.rows(_LEFT_OUT) == [("export/apm/", "it holds no export")]
    for name in ("shop.jsonl", "cart.csv.gz", "notes.txt"):
        (home.home.path / "export" / name).write_text("")
    ran = call(home.home.path, "run")
    assert "export/apm: it holds no export; beside it lies cart.csv.gz and 1 more; deployments of" in ran.err
    for settings in ({"path": "export/apm", "pull_from_datadog": True}, {"path": "exports/apm"}):
        home.settings(sources={"apm_deployment_tracking": settings})
        home.run(rebuild=True)
        assert home.rows(_LEFT_OUT) == []


# Service definitions


def test_service_definitions_that_lie_elsewhere_are_named_until_they_are_moved(home: TestHome, tmp_path: Path) -> None:
    path, clone = home.home.path, tmp_path / "shop.git"
    definition = "schema-version: v2.2\ndd-service: shop\nteam: sales\n"
    history = History()
    history.commit(files={"service.datadog.yaml": definition})
    (_, sha) = history.write(clone, {"main": 1})
    home.settings(repositories={"github.com/organization/shop": str(clone)})
    home.select_events()
    home.deploy(
        "shop", "2024-05-06 10:00:00", git={"repository_url": "https://github.com/organization/shop", "commit_sha": sha}
    )
    elsewhere = [path / "shop.yaml", path / "catalog" / "shop.yml", path / "services" / "shop.json"]
    for place in elsewhere:
        place.parent.mkdir(exist_ok=True)
        place.write_text(definition)
    (path / "services" / "shop.json").write_text(json.dumps({"schema-version": "v2.2", "dd-service": "shop"}))
    (path / "notes.yaml").write_text("of: something else\n")
    expected = {
        "catalog/shop.yml",
        "github.com/organization/shop: service.datadog.yaml",
        "services/shop.json",
        "shop.yaml",
    }
    # A run that fetches nothing keeps what it knows, and one that reads all anew finds it again.
    for rebuild in (False, False, True):
        home.run(rebuild=rebuild)
        assert {name for (name,) in home.rows("SELECT name FROM landing.left_out_files")} == expected
    said = (
        "(4): catalog/shop.yml: it holds a service definition; they are read from services/, as .yaml or .yml, github"
    )
    assert f"warning: service definitions that are not read {said}" in call(path, "check").out
    for place in elsewhere[1:]:
        place.unlink()
    elsewhere[0].write_text(definition + "links: [{name: a, type: repo, url: https://github.com/organization/shop}]\n")
    elsewhere[0].rename(path / "services" / "shop.yaml")
    home.run()
    assert home.rows("FROM landing.left_out_files") == []
    assert home.rows("SELECT DISTINCT team FROM core.deployments") == [("sales",)]
