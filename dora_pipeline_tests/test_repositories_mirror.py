import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dora_pipeline.errors import RepositoryError
from dora_pipeline.repositories.mirror import Mirror
from dora_pipeline.repositories.troubles import trouble_text
from dora_pipeline_tests.git_histories import History, git

UNKNOWN = "0123456789" * 4


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return tmp_path / "remote.git"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "git"


def mirror_of(remote: Path | str, folder: Path) -> Mirror:
    return Mirror(folder, "example.com/org/app", str(remote))


def branches(mirror: Mirror) -> set[str]:
    return set(git(mirror.path, "for-each-ref", "--format=%(refname)").split())


def test_a_first_fetch_brings_branches_and_tags_and_nothing_else(remote: Path, folder: Path) -> None:
    history = History()
    one, two, three, four = history.commit(), history.commit(1), history.commit(1), history.commit(1)
    shas = history.write(remote, {"main": one, "feature/a": two})
    git(remote, "tag", "v1", shas[three])
    git(remote, "update-ref", "refs/pull/7/head", shas[four])
    mirror = mirror_of(remote, folder)
    assert not mirror.exists
    mirror.fetch()
    assert mirror.exists
    assert branches(mirror) == {"refs/heads/main", "refs/heads/feature/a", "refs/tags/v1"}
    assert mirror.missing({*shas[1:], UNKNOWN}) == {shas[four], UNKNOWN}


def test_a_later_fetch_brings_what_is_new(remote: Path, folder: Path) -> None:
    history = History()
    one, two = history.commit(), history.commit(1)
    shas = history.write(remote, {"main": two})
    git(remote, "update-ref", "refs/heads/main", shas[one])
    mirror = mirror_of(remote, folder)
    mirror.fetch()
    assert mirror.missing(shas[1:]) == {shas[two]}
    git(remote, "update-ref", "refs/heads/main", shas[two])
    mirror.fetch()
    assert mirror.missing(shas[1:]) == set()


def test_commits_of_a_force_pushed_or_deleted_branch_stay(remote: Path, folder: Path) -> None:
    history = History()
    one, two, three = history.commit(), history.commit(1), history.commit(1)
    shas = history.write(remote, {"main": two, "side": three})
    mirror = mirror_of(remote, folder)
    mirror.fetch()
    git(remote, "update-ref", "refs/heads/main", shas[one])
    git(remote, "update-ref", "-d", "refs/heads/side")
    mirror.fetch()
    git(mirror.path, "gc", "--quiet")
    assert branches(mirror) == {"refs/heads/main"}
    assert git(mirror.path, "rev-parse", "main") == shas[one]
    assert mirror.missing(shas[1:]) == set()


def test_a_branch_may_become_a_folder_of_branches(remote: Path, folder: Path) -> None:
    history = History()
    shas = history.write(remote, {"main": history.commit(), "release": 1})
    mirror = mirror_of(remote, folder)
    mirror.fetch()
    git(remote, "update-ref", "-d", "refs/heads/release")
    git(remote, "update-ref", "refs/heads/release/1", shas[1])
    mirror.fetch()
    assert branches(mirror) == {"refs/heads/main", "refs/heads/release/1"}


def test_an_empty_repository_is_mirrored_and_misses_everything(remote: Path, folder: Path) -> None:
    git(remote, "init", "--quiet", "--bare")
    mirror = mirror_of(remote, folder)
    mirror.fetch()
    assert mirror.exists
    assert mirror.missing([UNKNOWN]) == {UNKNOWN}


def test_a_repository_with_sha256_commits_is_mirrored(remote: Path, folder: Path) -> None:
    history = History()
    shas = history.write(remote, {"main": history.commit()}, "--object-format=sha256")
    mirror = mirror_of(remote, folder)
    mirror.fetch()
    assert len(shas[1]) == 64
    assert mirror.resolve([shas[1], shas[1][:12]]) == {shas[1]: shas[1], shas[1][:12]: shas[1]}


def test_a_repository_with_sha256_commits_whose_head_names_no_branch_is_mirrored(remote: Path, folder: Path) -> None:
    history = History()
    shas = history.write(remote, {"main": history.commit()}, "--object-format=sha256")
    git(remote, "symbolic-ref", "HEAD", "refs/heads/gone")
    mirror = mirror_of(remote, folder)
    mirror.fetch()
    assert mirror.missing([shas[1]]) == set()


def test_an_empty_repository_that_gets_sha256_commits_is_mirrored(remote: Path, folder: Path) -> None:
    git(remote, "init", "--quiet", "--bare")
    notes: list[str] = []
    mirror = Mirror(folder, "example.com/org/app", str(remote), notes.append)
    mirror.fetch()
    shutil.rmtree(remote)
    history = History()
    shas = history.write(remote, {"main": history.commit()}, "--object-format=sha256")
    mirror.fetch()
    assert mirror.missing([shas[1]]) == set()
    assert len(notes) == 1


def test_the_mirror_follows_a_changed_url_and_keeps_what_it_had(tmp_path: Path, folder: Path) -> None:
    old, new = History(), History()
    old_shas = old.write(tmp_path / "old.git", {"main": old.commit(committed=1)})
    new_shas = new.write(tmp_path / "new.git", {"trunk": new.commit(committed=2)})
    mirror_of(tmp_path / "old.git", folder).fetch()
    mirror = mirror_of(tmp_path / "new.git", folder)
    mirror.fetch()
    assert branches(mirror) == {"refs/heads/trunk"}
    assert mirror.missing([old_shas[1], new_shas[1]]) == set()


def test_a_relative_path_starts_at_the_home(tmp_path: Path) -> None:
    history = History()
    (tmp_path / "home").mkdir()
    history.write(tmp_path / "home" / "code.git", {"main": history.commit()})
    mirror = mirror_of("code.git", tmp_path / "home" / "git")
    mirror.fetch()
    assert mirror.exists


def test_a_repository_that_is_gone_is_an_error_and_its_mirror_still_answers(remote: Path, folder: Path) -> None:
    history = History()
    shas = history.write(remote, {"main": history.commit()})
    mirror = mirror_of(remote, folder)
    mirror.fetch()
    shutil.rmtree(remote)
    with pytest.raises(RepositoryError) as error:
        mirror.fetch()
    assert str(error.value) == (
        f"example.com/org/app: cannot be fetched from {remote}: there is no repository at this address, or none that "
        "this user may see; check the address under `repositories` in dora.yaml, and that the user who runs this may "
        f"read it (git: fatal: '{remote}' does not appear to be a git repository)"
    )
    assert mirror.missing([shas[1]]) == set()


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (["fatal: could not read Username for 'https://h': terminal prompts disabled"], "wants credentials"),
        (["git@h: Permission denied (publickey).", "fatal: Could not read from remote repository."], "credentials"),
        (["fatal: unable to access 'https://h/SSL.git/': Could not resolve host: h"], "the name of its host"),
        (["fatal: unable to access 'https://h/': server certificate verification failed. CAfile: none"], "not trusted"),
        (["ssh: connect to host h port 22: Connection refused", "fatal: Could not read"], "does not answer"),
        (["remote: Repository not found.", "fatal: repository 'https://h/' not found"], "there is no repository"),
        (["fetch-pack: unexpected disconnect while reading", "fatal: early EOF"], "ended the connection"),
        (["warning: something", "fatal: something new", "and the end"], "git cannot fetch it"),
    ],
)
def test_what_git_says_is_told_in_our_words_with_the_line_that_says_it(said: list[str], what: str) -> None:
    text = trouble_text(said)
    assert what in text
    assert text.endswith(f"(git: {said[1] if what == 'git cannot fetch it' else said[0]})")


def test_a_first_fetch_that_fails_leaves_no_mirror(tmp_path: Path, folder: Path) -> None:
    mirror = mirror_of(tmp_path / "nowhere", folder)
    with pytest.raises(RepositoryError, match="nowhere"):
        mirror.fetch()
    assert not mirror.exists
    assert [path.suffix for path in folder.iterdir()] == [".lock"]


def test_a_shallow_clone_is_refused_since_it_lacks_commits(tmp_path: Path, remote: Path, folder: Path) -> None:
    history = History()
    history.write(remote, {"main": history.commit(history.commit())})
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{remote}", str(tmp_path / "shallow")], check=True)
    with pytest.raises(RepositoryError, match="--unshallow"):
        mirror_of(tmp_path / "shallow", folder).fetch()


def test_a_home_that_cannot_be_written_is_an_error(tmp_path: Path, remote: Path) -> None:
    history = History()
    history.write(remote, {"main": history.commit()})
    (tmp_path / "git").write_text("a file where the folder should be")
    with pytest.raises(RepositoryError, match=f"{tmp_path / 'git'}"):
        mirror_of(remote, tmp_path / "git").fetch()


def test_without_git_the_error_says_so(remote: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(RepositoryError, match="install git"):
        mirror_of(remote, folder).fetch()


def test_a_mirror_that_is_not_there_misses_all(remote: Path, folder: Path) -> None:
    mirror = mirror_of(remote, folder)
    assert mirror.missing([UNKNOWN, "abc1234"]) == {UNKNOWN, "abc1234"}
    mirror.fetch_commits([UNKNOWN])
    assert not mirror.exists


def test_only_commits_are_there_and_neither_names_nor_other_objects(remote: Path, folder: Path) -> None:
    history = History()
    shas = history.write(remote, {"main": history.commit(files={"a": "b"})})
    tree = git(remote, "rev-parse", f"{shas[1]}^{{tree}}")
    mirror = mirror_of(remote, folder)
    mirror.fetch()
    strange = ["main", "HEAD", "", "--all", f"{shas[1]}^0", f"{shas[1]}\n{UNKNOWN}", tree, tree[:9], "f" * 41]
    assert mirror.missing([*strange, shas[1]]) == set(strange)


def test_short_and_upper_case_shas_are_resolved_to_full_ones(remote: Path, folder: Path) -> None:
    history = History()
    one, two = history.commit(), history.commit(1)
    shas = history.write(remote, {"main": two})
    git(remote, "tag", shas[one][:8], shas[two])
    mirror = mirror_of(remote, folder)
    mirror.fetch()
    upper = shas[two].upper()
    assert mirror.resolve([shas[one][:8], shas[two][:7], shas[one], upper, shas[one][:6], "abcdef0"]) == {
        shas[one][:8]: shas[one],
        shas[two][:7]: shas[two],
        shas[one]: shas[one],
        upper: shas[two],
    }


def test_commits_that_no_branch_reaches_are_fetched_where_the_server_has_them(remote: Path, folder: Path) -> None:
    history = History()
    one, two, three = history.commit(), history.commit(1), history.commit(1)
    shas = history.write(remote, {"main": one})
    mirror = mirror_of(remote, folder)
    mirror.fetch()
    assert mirror.missing(shas[1:]) == {shas[two], shas[three]}
    mirror.fetch_commits([shas[two], UNKNOWN, "1" * 40, shas[three], "main", "--all"])
    assert mirror.missing(shas[1:]) == set()
    assert branches(mirror) == {"refs/heads/main"}


def test_a_remote_that_is_gone_is_no_error_for_single_commits(remote: Path, folder: Path) -> None:
    history = History()
    history.write(remote, {"main": history.commit()})
    mirror = mirror_of(remote, folder)
    mirror.fetch()
    shutil.rmtree(remote)
    mirror.fetch_commits([UNKNOWN])
    assert mirror.missing([UNKNOWN]) == {UNKNOWN}


def test_what_a_killed_first_fetch_left_is_no_mirror_and_is_made_again(remote: Path, folder: Path) -> None:
    history = History()
    shas = history.write(remote, {"main": history.commit()})
    mirror = mirror_of(remote, folder)
    (mirror.path / "objects").mkdir(parents=True)
    half = mirror.path.with_suffix(".part")
    git(half, "init", "--quiet", "--bare")
    (half / "HEAD.lock").touch()
    assert not mirror.exists
    mirror.fetch()
    assert mirror.missing([shas[1]]) == set()
    assert not half.exists()


def test_lock_files_of_a_killed_fetch_do_not_bar_the_next(remote: Path, folder: Path) -> None:
    history = History()
    one, two = history.commit(), history.commit(1)
    shas = history.write(remote, {"main": two})
    git(remote, "update-ref", "refs/heads/main", shas[one])
    mirror = mirror_of(remote, folder)
    mirror.fetch()
    git(remote, "update-ref", "refs/heads/main", shas[two])
    (mirror.path / "refs" / "heads").mkdir(parents=True, exist_ok=True)
    (mirror.path / "objects" / "info" / "commit-graphs").mkdir(parents=True, exist_ok=True)
    for name in (
        "HEAD.lock",
        "packed-refs.lock",
        "refs/heads/main.lock",
        "objects/info/commit-graphs/commit-graph-chain.lock",
        "objects/pack/tmp_pack_abcdef",
    ):
        (mirror.path / name).touch()
    mirror.fetch()
    assert mirror.missing([shas[two]]) == set()
    assert not (mirror.path / "objects/pack/tmp_pack_abcdef").exists()


@pytest.fixture
def stalling_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ssh whose first call answers and whose second one says so through the returned pipe, then hangs."""
    started = tmp_path / "started"
    os.mkfifo(started)
    script = tmp_path / "ssh.sh"
    script.write_text(
        f"""#!/bin/sh
for last; do :; done
if mkdir {tmp_path}/called 2>/dev/null; then eval "$last"; else echo $$ > {started}; exec sleep 300; fi
"""
    )
    script.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(script))
    monkeypatch.setenv("GIT_SSH_VARIANT", "ssh")
    return started


def test_a_fetch_that_is_killed_leaves_nothing_that_looks_whole_and_no_process(
    remote: Path, folder: Path, stalling_ssh: Path
) -> None:
    history = History()
    shas = history.write(remote, {"main": history.commit()})
    program = (
        "import sys; from pathlib import Path; from dora_pipeline.repositories.mirror import Mirror; "
        "Mirror(Path(sys.argv[1]), 'example.com/org/app', sys.argv[2]).fetch()"
    )
    arguments = [sys.executable, "-c", program, str(folder), f"ssh://example.com{remote}"]
    root = str(Path(__file__).parent.parent)
    with subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": root}) as process:
        stalling_ssh.read_text()
        process.kill()
    mirror = mirror_of(remote, folder)
    assert not mirror.exists
    # Helpers inherit the lock, so that this would wait for one that is alive.
    mirror.fetch()
    assert mirror.missing([shas[1]]) == set()


def test_a_fetch_that_hangs_is_ended_with_its_helpers(
    remote: Path, folder: Path, stalling_ssh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History()
    history.write(remote, {"main": history.commit()})
    monkeypatch.setattr("dora_pipeline.repositories.git.TRANSFER_TIMEOUT", 1.0)
    reader = os.open(stalling_ssh, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(RepositoryError, match="took longer than 1 s"):
        mirror_of(f"ssh://example.com{remote}", folder).fetch()
    os.close(reader)
    # Helpers inherit the lock, so that this would wait for one that is alive.
    monkeypatch.setattr("dora_pipeline.repositories.mirror.TRANSFER_TIMEOUT", 0.0)
    mirror_of(remote, folder).fetch()


def test_a_second_fetch_waits_for_the_first_and_says_for_whom(
    remote: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History()
    history.write(remote, {"main": history.commit()})
    mirror = mirror_of(remote, folder)
    monkeypatch.setattr("dora_pipeline.repositories.mirror.TRANSFER_TIMEOUT", 0.0)
    folder.mkdir(parents=True)
    with mirror.path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RepositoryError, match="another process holds"):
            mirror.fetch()
    mirror.fetch()


def test_hooks_of_a_template_of_the_settings_or_of_the_mirror_never_run(
    tmp_path: Path, remote: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History()
    one, two = history.commit(), history.commit(1)
    shas = history.write(remote, {"main": two})
    git(remote, "update-ref", "refs/heads/main", shas[one])
    trace = tmp_path / "a hook ran"
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    for name in ("reference-transaction", "post-checkout", "post-merge", "update", "post-update", "pre-auto-gc"):
        (hooks / name).write_text(f"#!/bin/sh\necho {name} >> '{trace}'\n")
        (hooks / name).chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(f"[init]\n\ttemplateDir = {hooks.parent}\n[core]\n\thooksPath = {hooks}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(hooks.parent))
    mirror = mirror_of(remote, folder)
    mirror.fetch()
    shutil.copytree(hooks, mirror.path / "hooks", dirs_exist_ok=True)
    git(remote, "update-ref", "refs/heads/main", shas[two])
    mirror.fetch()
    assert mirror.missing([shas[two]]) == set()
    assert not trace.exists()


def test_the_repository_of_a_surrounding_git_hook_is_not_touched(
    tmp_path: Path, remote: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, other = History(), History()
    shas = history.write(remote, {"main": history.commit(committed=1)})
    surrounding = tmp_path / "surrounding.git"
    other.write(surrounding, {"work": other.commit(committed=2)})
    before = git(surrounding, "for-each-ref")
    monkeypatch.setenv("GIT_DIR", str(surrounding))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(surrounding / "objects"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(surrounding / "index"))
    monkeypatch.setenv("GIT_NAMESPACE", "strange")
    mirror = mirror_of(remote, folder)
    mirror.fetch()
    assert mirror.missing([shas[1]]) == set()
    assert git(surrounding, "for-each-ref") == before
    assert branches(mirror) == {"refs/heads/main"}


def test_credentials_are_in_no_message_and_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TRACE_CURL", "1")
    mirror = mirror_of("https://robot:hunter2%2F@127.0.0.1:1/org/app.git", folder)
    with pytest.raises(RepositoryError) as caught:
        mirror.fetch()
    assert "https://127.0.0.1:1/org/app.git" in str(caught.value)
    assert "robot" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(mirror)
    git(mirror.path, "init", "--quiet", "--bare")
    with pytest.raises(RepositoryError):
        mirror.fetch()
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert texts
    assert not any(b"hunter2" in text for text in texts)


def test_a_refused_address_names_the_setting(folder: Path) -> None:
    with pytest.raises(RepositoryError, match=r"repositories\.example\.com/org/app: 'http://example\.com/x'"):
        mirror_of("http://robot:hunter2@example.com/x", folder).fetch()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("example.com/a/b-c", "example.com/a-b/c"),
        ("example.com/a/b", "example.com/a//b"),
        ("example.com/ä", "example.com/ö"),
        ("e.com/" + "x" * 300 + "1", "e.com/" + "x" * 300 + "2"),
    ],
)
def test_similar_repositories_have_mirrors_of_their_own(tmp_path: Path, one: str, other: str) -> None:
    paths = [Mirror(tmp_path, name, "/nowhere").path for name in (one, other)]
    assert paths[0] != paths[1]
    assert all(path.parent == tmp_path and len(path.name) < 120 for path in paths)


@pytest.mark.parametrize("name", ["../../etc", "/", "-x", "..", "a\nb", "con/aux"])
def test_the_folder_of_a_mirror_is_safe_whatever_the_repository_is_called(tmp_path: Path, name: str) -> None:
    path = Mirror(tmp_path, name, "/nowhere").path
    assert path.parent == tmp_path
    assert path.name[0].isalnum()
    assert path.name.isprintable()


def test_the_folder_of_a_mirror_is_readable(tmp_path: Path) -> None:
    assert Mirror(tmp_path, "github.com/org/app", "/nowhere").path.name.startswith("github.com-org-app-")
