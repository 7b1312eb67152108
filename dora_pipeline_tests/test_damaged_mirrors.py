"""Mirrors that cannot be read or used any more: the next run makes them again from the remote, and says so."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dora_pipeline_tests.command import call, process, without_root
from dora_pipeline_tests.git_histories import History, git
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.lead_times import REPOSITORY, brought, reasons


def remove_objects(mirror: Path) -> None:
    shutil.rmtree(mirror / "objects")


def remove_head(mirror: Path) -> None:
    (mirror / "HEAD").unlink()


def empty_head(mirror: Path) -> None:
    (mirror / "HEAD").write_bytes(b"")


def write_garbage_into_the_config(mirror: Path) -> None:
    (mirror / "config").write_bytes(b"\x00\xff[[[ not a config\n")


def write_a_config_of_a_newer_git(mirror: Path) -> None:
    (mirror / "config").write_text("[core]\n\trepositoryformatversion = 99\n")


def remove_refs_and_config(mirror: Path) -> None:
    shutil.rmtree(mirror / "refs")
    (mirror / "config").unlink()


def damage_every_object(mirror: Path) -> None:
    for path in [*(mirror / "objects" / "pack").glob("*.pack"), *(mirror / "objects").glob("??/*")]:
        path.chmod(0o644)
        content = bytearray(path.read_bytes())
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
        path.write_bytes(content)


def empty_every_object(mirror: Path) -> None:
    for path in [*(mirror / "objects" / "pack").glob("*.pack"), *(mirror / "objects").glob("??/*")]:
        path.chmod(0o644)
        path.write_bytes(b"")


def lose_every_object(mirror: Path) -> None:
    for path in [*(mirror / "objects" / "pack").iterdir(), *(mirror / "objects").glob("??/*")]:
        path.unlink()


def become_a_file(mirror: Path) -> None:
    shutil.rmtree(mirror)
    mirror.write_text("not a folder")


def become_an_empty_folder(mirror: Path) -> None:
    shutil.rmtree(mirror)
    mirror.mkdir()


DAMAGES = [
    remove_objects,
    remove_head,
    empty_head,
    write_garbage_into_the_config,
    write_a_config_of_a_newer_git,
    remove_refs_and_config,
    damage_every_object,
    empty_every_object,
    become_a_file,
    become_an_empty_folder,
]


def deploy(home: TestHome, deployment_id: str, finished: str, sha: str, repository: str = REPOSITORY) -> None:
    """A deployment of a service of its own for each repository."""
    git = {"commit_sha": sha, "repository_url": f"https://{repository}.git"}
    home.deploy(f"shop of {repository}", finished, id=deployment_id, git=git)


def write_history(remote: Path) -> list[str]:
    """Three commits in a remote, of which the branch has two; the SHAs from 1."""
    history = History()
    history.commit(files={"src/a": "1"})
    history.commit(1, committed=3600, files={"src/a": "2"})
    history.commit(2, committed=7200, files={"src/a": "3"})
    shas = list(history.write(remote, {"main": 3}))
    git(remote, "update-ref", "refs/heads/main", shas[2])
    return shas


def loaded(home: TestHome, remote: Path) -> tuple[Path, list[str]]:
    """A home with two deployments, whose mirror lacks the third commit; the mirror, and the SHAs from 1."""
    shas = write_history(remote)
    deploy(home, "first", "2024-01-02T00:00:00", shas[1])
    deploy(home, "second", "2024-01-03T00:00:00", shas[2])
    home.run()
    assert reasons(home) == {"first": "first_deployment", "second": None}
    git(remote, "update-ref", "refs/heads/main", shas[3])
    (mirror,) = home.home.git.glob("*.git")
    return mirror, shas


def loaded_with_many(home: TestHome, folder: Path, names: Sequence[str]) -> tuple[dict[str, Path], list[str]]:
    """The same with a repository and two deployments for each name; the mirrors by name, and the SHAs from 1."""
    remotes = {name: folder / f"{name}.git" for name in names}
    home.settings(repositories={f"example.com/{name}": str(remote) for name, remote in remotes.items()})
    home.select_events()
    for name, remote in remotes.items():
        shas = write_history(remote)
        deploy(home, f"{name} 1", "2024-01-02T00:00:00", shas[1], f"example.com/{name}")
        deploy(home, f"{name} 2", "2024-01-03T00:00:00", shas[2], f"example.com/{name}")
    home.run()
    assert {reason for name, reason in reasons(home).items() if name.endswith(" 2")} == {None}
    mirrors = {}
    for name, remote in remotes.items():
        git(remote, "update-ref", "refs/heads/main", shas[3])
        # Names are of one length, so that none is the beginning of another.
        (mirrors[name],) = home.home.git.glob(f"*{name}*.git")
    return mirrors, shas


def test_damaged_mirrors_are_made_again_with_a_word_and_the_new_events_load(home: TestHome, tmp_path: Path) -> None:
    damages = {f"app{number:02}": damage for number, damage in enumerate(DAMAGES)}
    mirrors, shas = loaded_with_many(home, tmp_path, list(damages))
    for name, damage in damages.items():
        damage(mirrors[name])
        deploy(home, f"{name} 3", "2024-01-04T00:00:00", shas[3], f"example.com/{name}")
    home.notes.notes.clear()
    home.run()
    of_each = {"1": "first_deployment", "2": None, "3": None}
    expected = {f"{name} {number}": reason for name in damages for number, reason in of_each.items()}
    assert reasons(home) == expected
    for name in damages:
        assert brought(home, f"{name} 3") == {shas[3]: 22 * 3600.0 + 2 * 24 * 3600}
        (word,) = [
            note for note in home.notes.notes if f"example.com/{name}:" in note or f"example.com/{name} " in note
        ]
        assert "was made again from" in word
    home.notes.notes.clear()
    home.run(rebuild=True)
    assert reasons(home) == expected
    assert not [note for note in home.notes.notes if "example.com/" in note]


def test_where_they_cannot_be_made_again_the_rest_loads_and_a_later_run_mends_them(
    home: TestHome, tmp_path: Path
) -> None:
    damages = {"app1": remove_objects, "app2": remove_head, "app3": damage_every_object}
    mirrors, shas = loaded_with_many(home, tmp_path, list(damages))
    for name, damage in damages.items():
        damage(mirrors[name])
        (tmp_path / f"{name}.git").rename(tmp_path / f"{name}.away")
        deploy(home, f"{name} 3", "2024-01-04T00:00:00", shas[3], f"example.com/{name}")
    home.deploy("cart", "2024-01-04T00:00:00", id="other")
    home.notes.notes.clear()
    home.run()
    for name in damages:
        assert reasons(home)[f"{name} 3"] in ("repository_missing", "commit_missing")
    assert reasons(home)["other"] == "no_commit"
    errors = home.rows("FROM landing.repository_errors ORDER BY ALL")
    assert len(errors) == len(damages)
    assert sum("cannot be fetched" in note for note in home.notes.notes) >= len(damages)
    home.run(rebuild=True)
    kept = home.rows("FROM landing.repository_errors ORDER BY ALL")
    assert [name for name, _ in kept] == [name for name, _ in errors]
    for name in damages:
        (tmp_path / f"{name}.away").rename(tmp_path / f"{name}.git")
    repositories = {f"example.com/{name}": str(tmp_path / f"{name}.git") for name in damages}
    home.settings(repositories=repositories, reread="5000d")
    home.run()
    assert [reasons(home)[f"{name} 3"] for name in damages] == [None] * len(damages)


def test_a_mirror_that_may_not_be_read_costs_lead_times_alone(home: TestHome, remote: Path) -> None:
    mirror, shas = loaded(home, remote)
    deploy(home, "third", "2024-01-04T00:00:00", shas[3])
    mirror.chmod(0)
    answer = process(home.home.path, "run", before=without_root())
    mirror.chmod(0o755)
    assert (answer.code, reasons(home)["third"]) == (0, "repository_missing")
    assert "check the space, owner and mode of this folder" in answer.err
    home.settings(repositories={REPOSITORY: str(remote)}, reread="5000d")
    home.run()
    assert (reasons(home)["third"], list(brought(home, "third"))) == (None, [shas[3]])


def test_a_mirror_that_lost_old_commits_alone_is_made_again(home: TestHome, remote: Path) -> None:
    mirror, shas = loaded(home, remote)
    # Each fetch of few commits leaves them in files of their own.
    (mirror / "objects" / shas[1][:2] / shas[1][2:]).unlink()
    deploy(home, "back", "2024-01-04T00:00:00", shas[1])
    home.run()
    assert reasons(home)["back"] == "no_commits"
    assert any("was made again from" in note for note in home.notes.notes)


def test_a_mirror_that_lost_folders_alone_is_made_again(home: TestHome, remote: Path, tmp_path: Path) -> None:
    mirror, shas = loaded(home, remote)
    for commit in shas[2:]:
        tree = git(remote, "rev-parse", f"{commit}:src")
        (mirror / "objects" / tree[:2] / tree[2:]).unlink(missing_ok=True)
    home.home.services.mkdir()
    (home.home.services / "shop.yaml").write_text(
        f"schema-version: v2.2\ndd-service: 'shop of {REPOSITORY}'\nlinks: [{{name: Source, type: repo, url: 'https://{REPOSITORY}'}}]\n"
        "extensions: {datadoghq.com/dora-metrics: {source_patterns: ['src/**']}}\n"
    )
    home.run()
    assert reasons(home) == {"first": "first_deployment", "second": None}
    assert list(brought(home, "second")) == [shas[2]]
    assert any("was made again from" in note for note in home.notes.notes)


@pytest.mark.parametrize("damage", [remove_objects, lose_every_object])
def test_a_rebuild_asks_no_remote_even_for_a_damaged_mirror(
    home: TestHome, remote: Path, damage: Callable[[Path], None]
) -> None:
    mirror, _ = loaded(home, remote)
    damage(mirror)
    home.notes.notes.clear()
    home.run(rebuild=True)
    assert reasons(home) == {"first": "first_deployment", "second": "repository_missing"}
    assert "its mirror cannot be read" in call(home.home.path, "check").out
    (said,) = [note for note in home.notes.notes if REPOSITORY in note]
    assert said.startswith(f"{REPOSITORY}: its mirror cannot be read (git: fatal: ")
    assert said.endswith("); the next `dora run` that can fetch it makes it again")
    home.run()
    assert reasons(home) == {"first": "first_deployment", "second": None}


def test_a_remote_that_is_converted_to_sha256_and_back_is_fetched(home: TestHome, remote: Path) -> None:
    _, shas = loaded(home, remote)
    old = remote.rename(remote.with_name("old.git"))
    history = History()
    history.commit(files={"a": "1"})
    history.commit(1, committed=3600, files={"a": "2"})
    longer = history.write(remote, {"main": 2}, "--object-format=sha256")
    deploy(home, "third", "2024-01-04T00:00:00", longer[1])
    deploy(home, "fourth", "2024-01-05T00:00:00", longer[2])
    home.run()
    assert reasons(home)["fourth"] is None
    assert list(brought(home, "fourth")) == [longer[2]]
    assert any("was made again from" in note for note in home.notes.notes)
    remote.rename(remote.with_name("converted.git"))
    old.rename(remote)
    deploy(home, "fifth", "2024-01-06T00:00:00", shas[1])
    deploy(home, "sixth", "2024-01-07T00:00:00", shas[3])
    home.run()
    assert set(brought(home, "sixth")) == {shas[2], shas[3]}


def test_a_mirror_whose_objects_alone_are_gone_gets_them_back(home: TestHome, remote: Path) -> None:
    mirror, shas = loaded(home, remote)
    lose_every_object(mirror)
    deploy(home, "third", "2024-01-04T00:00:00", shas[3])
    home.run()
    assert reasons(home) == {"first": "first_deployment", "second": None, "third": None}
