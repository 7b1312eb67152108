import subprocess
from pathlib import Path

import pytest

from dora_pipeline.errors import RepositoryError
from dora_pipeline.repositories.git import run_transfer
from dora_pipeline.repositories.mirror import Mirror
from dora_pipeline.repositories.remotes import remote_of

HOME = Path("/srv/home")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "  ",
        "ext::sh -c touch% evil",
        "fd::17",
        "https::https://example.com/x",
        "http://example.com/org/app",
        "git://example.com/org/app",
        "ftp://example.com/org/app",
        "javascript://example.com/x",
        "-x",
        "--upload-pack=touch evil",
        "-oProxyCommand=evil:x",
        "ssh://-oProxyCommand=evil/x",
        "ssh://-oProxyCommand=evil@example.com/x",
        "git@-oProxyCommand=evil:x",
        "git@example.com:-x",
        "https://example.com",
        "https:///x",
        "https://example.com:port/x",
        "https://example.com/a\nb",
        "https://example.com/a%0ab",
        "file://elsewhere.example.com/share",
        "~nobody-of-that-name/x",
    ],
)
def test_an_address_of_another_kind_is_refused_before_git_is_started(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    mirror = Mirror(tmp_path / "git", "example.com/org/app", url)
    for attempt in (mirror.fetch, lambda: mirror.fetch_commits(["1" * 40])):
        with pytest.raises(RepositoryError, match="is not an address that repositories are fetched from"):
            attempt()


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/org/app.git",
        "https://example.com:8443/org/app",
        "ssh://git@example.com:2222/org/app",
        "git@example.com:org/app.git",
        "example.com:org/app",
        "file:///srv/app.git",
        "/srv/app.git",
    ],
)
def test_https_ssh_and_local_addresses_go_to_git_as_they_are(url: str) -> None:
    remote = remote_of(url, HOME)
    assert (remote.address, remote.variables) == (url, {})


@pytest.mark.parametrize(("url", "path"), [("app.git", "/srv/home/app.git"), ("./x/a:b", "/srv/home/x/a:b")])
def test_a_relative_path_is_one_below_the_home(url: str, path: str) -> None:
    assert remote_of(url, HOME).address == path


def test_user_and_password_of_an_https_url_reach_git_by_its_credential_helper(tmp_path: Path) -> None:
    remote = remote_of("https://robot:p%40ss%20word@example.com:8443/org/app", HOME)
    assert remote.address == "https://example.com:8443/org/app"
    assert "ss word" not in repr(remote)
    store = tmp_path / "a helper of the user"
    user = {"GIT_CONFIG_GLOBAL": str(tmp_path / "config")}
    (tmp_path / "config").write_text(f"[credential]\n\thelper = store --file '{store}'\n")
    asked = "protocol=https\nhost=example.com:8443\n\n"
    elsewhere = "protocol=https\nhost=elsewhere.example.com\n\n"
    assert _credential("fill", asked, {**user, **remote.variables}).splitlines()[2:] == [
        "username=robot",
        "password=p@ss word",
    ]
    assert "ss word" not in _credential("fill", elsewhere, {**user, **remote.variables})
    _credential("approve", asked[:-1] + "username=robot\npassword=p@ss word\n\n", {**user, **remote.variables})
    assert not store.exists()


def _credential(action: str, text: str, variables: dict[str, str]) -> str:
    environment = {"PATH": "/usr/bin:/bin", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", **variables}
    run = subprocess.run(
        ["git", "credential", action], input=text, env=environment, capture_output=True, text=True, check=False
    )
    return run.stdout


@pytest.mark.parametrize("url", ["http://robot:hunter2@example.com/x", "https://robot:hun/ter2@example.com/x"])
def test_the_refusal_of_an_address_does_not_show_its_password(url: str) -> None:
    with pytest.raises(RepositoryError) as caught:
        remote_of(url, HOME)
    assert "robot" not in str(caught.value)
    assert "ter2" not in str(caught.value)


def test_a_transport_that_the_settings_of_the_user_bring_in_is_refused_by_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "gitconfig"
    evil = f"ext::sh -c touch% {tmp_path}/evil"
    settings.write_text(f'[url "{evil}"]\n\tinsteadOf = https://example.com/\n[protocol "ext"]\n\tallow = always\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    with pytest.raises(RepositoryError, match="not allowed"):
        run_transfer(tmp_path, ["ls-remote", "https://example.com/org/app"], {})
    assert not (tmp_path / "evil").exists()
