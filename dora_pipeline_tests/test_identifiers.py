"""Names that come from outside: repository URLs and credentials."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_pipeline.identifiers import repository_id, version_of, without_credentials

APP = "github.com/org/app"


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/org/app",
        "https://github.com/Org/App.git",
        "https://github.com/org/app.git/",
        "https://github.com/org/app?ref_type=heads",
        "https://github.com/org/app#readme",
        "HTTPS://GitHub.com//org//app/",
        "https://user:token@github.com/org/app",
        "https://x-access-token:a@b@github.com/org/app.git",
        "https://token@github.com:443/org/app",
        "http://github.com/org/app",
        "git@github.com:Org/App.git",
        "deploy:secret@github.com:org/app.git",
        "ssh://git@github.com/org/app.git",
        "ssh://git@github.com:22/org/app.git",
        "git+ssh://git@github.com/org/app.git",
        "git@github.com:443/org/app",
        "user:token@github.com/org/app",
        "https://www.github.com/org/app",
        "ssh://git@ssh.github.com:443/Org/App.git",
        "git@ssh.github.com:org/app.git",
        "  github.com/org/app\n",
        APP,
    ],
)
def test_every_form_of_a_repository_url_is_host_and_path(url: str) -> None:
    assert repository_id(url) == APP


@pytest.mark.parametrize(
    "url",
    [
        "https://dev.azure.com/org/project/_git/repo",
        "https://Org@dev.azure.com/Org/Project/_git/Repo",
        "https://dev.azure.com/org/DefaultCollection/project/_git/repo",
        "https://dev.azure.com/org/project/_git/_full/repo",
        "git@ssh.dev.azure.com:v3/Org/Project/Repo",
        "ssh://git@ssh.dev.azure.com/v3/org/project/repo",
        "ssh://git@ssh.dev.azure.com:22/v3/org/project/repo",
        "org@vs-ssh.visualstudio.com:v3/org/project/repo",
        "https://org.visualstudio.com/project/_git/repo",
        "https://org.visualstudio.com/DefaultCollection/project/_git/repo",
        "ssh://org@org.visualstudio.com:22/project/_git/repo",
    ],
)
def test_every_spelling_of_azure_devops_is_one_repository(url: str) -> None:
    assert repository_id(url) == "dev.azure.com/org/project/_git/repo"


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        ("https://dev.azure.com/org/_git/app", "dev.azure.com/org/app/_git/app"),
        ("https://org.visualstudio.com/_git/app", "dev.azure.com/org/app/_git/app"),
        ("git@ssh.dev.azure.com:v3/org/My%20Project/app", "dev.azure.com/org/my project/_git/app"),
        ("ssh://git@altssh.gitlab.com:443/group/sub/app.git", "gitlab.com/group/sub/app"),
        ("https://www.gitlab.com/group/app", "gitlab.com/group/app"),
        ("ssh://git@altssh.bitbucket.org:443/org/app.git", "bitbucket.org/org/app"),
        ("https://www.git.example.com/org/app", "www.git.example.com/org/app"),
        ("https://azure.example.com/org/project/_git/app", "azure.example.com/org/project/_git/app"),
        ("ssh://git@git.example.com:7999/team/app.git", "git.example.com:7999/team/app"),
        ("https://gitlab.com/group/sub/deep/app", "gitlab.com/group/sub/deep/app"),
        ("https://dev.azure.com/org/My%20Project/_git/app", "dev.azure.com/org/my project/_git/app"),
        ("https://[::1]:8443/org/app", "[::1]:8443/org/app"),
        ("file:///srv/git/app.git", "srv/git/app"),
        ("/srv/git/app.git", "srv/git/app"),
    ],
)
def test_other_hosts_ports_and_local_folders_stay_apart(url: str, identity: str) -> None:
    assert repository_id(url) == identity


@pytest.mark.parametrize(
    "url", [None, "", "  ", "github.com", "https://github.com/", "https://", "https://user:pa/ss@github.com/org/app"]
)
def test_what_is_no_repository_has_no_id(url: str | None) -> None:
    assert repository_id(url) is None


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("https://user:token@host/x", "https://host/x"),
        ("https://token@host/x", "https://host/x"),
        ("https://" + "t" * 900 + "@host/x", "https://host/x"),
        ("https://us:a@b@host/x", "https://host/x"),
        ("https://user:it's@host/x", "https://host/x"),
        ("https://user:with/slash@host/x", "https://host/x"),
        ("1https://user:token@host/x", "1https://host/x"),
        ("a ssh://git@one/x and https://u:p@two/y", "a ssh://one/x and https://two/y"),
        ('{"url":"https://u:p@host/x","mail":"a@b"}', '{"url":"https://host/x","mail":"a@b"}'),
        ("https://host/@user/x", "https://host/@user/x"),
        ("https://host:8080/@user/x@y", "https://host:8080/@user/x@y"),
        ("app:1.2@sha256:abc", "app:1.2@sha256:abc"),
        ("user:token@host.example/o/x", "host.example/o/x"),
        ("user:token@host.example:o/x.git", "host.example:o/x.git"),
        ("user:with/slash@host.example:8443/o/x", "host.example:8443/o/x"),
        ("//user:token@host.example/o/x", "//host.example/o/x"),
        ("https:/user:token@host.example/o/x", "https:/host.example/o/x"),
        ('2024-05-06,x,"user:token@host.example/o/x"', '2024-05-06,x,"host.example/o/x"'),
        ("ghp_0123456789abcdefghij@host.example/o/x", "host.example/o/x"),
        ("glpat-0123456789abcdefgh@host.example:o/x.git", "host.example:o/x.git"),
        ("someone-with-a-long-name@host.example, later", "someone-with-a-long-name@host.example, later"),
        ("git@host.example:o/x.git", "git@host.example:o/x.git"),
        ("at 10:30 tell bob:ann@host.example: done", "at 10:30 tell bob:ann@host.example: done"),
        ("https://host/x?access_token=abc&ref=1", "https://host/x?access_token=***&ref=1"),
        ("https://host/x?ref=1&PRIVATE-TOKEN=abc#y", "https://host/x?ref=1&PRIVATE-TOKEN=***#y"),
        ("https://host/x?issue=abc&token", "https://host/x?issue=abc&token"),
    ],
)
def test_credentials_are_taken_out_and_all_else_stays(text: str, safe: str) -> None:
    assert without_credentials(text) == safe


def test_long_text_costs_linear_time() -> None:
    text = "x" * 20_000_000
    assert without_credentials(text) == text


@given(
    user=st.text(st.characters(categories=["Lu", "Ll", "Nd"], include_characters="-._~!$&'()*+,;=%"), max_size=20),
    secret=st.uuids().map(str),
    host=st.sampled_from(["github.com", "git.example.com:8443", "localhost"]),
)
def test_a_password_is_neither_in_the_id_nor_in_a_message(user: str, secret: str, host: str) -> None:
    url = f"https://{user}:{secret}@{host}/org/app.git"
    assert repository_id(url) == f"{host}/org/app"
    assert without_credentials(f"cannot clone {url}: 403") == f"cannot clone https://{host}/org/app.git: 403"


@pytest.mark.parametrize(
    "url", ["//user:secret@github.com/o/r", "https:/user:secret@github.com/o/r", "user:secret@github.com:o/r.git"]
)
def test_a_password_is_no_part_of_the_id_of_a_url_that_is_not_written_whole(url: str) -> None:
    assert repository_id(url) == "github.com/o/r"
    assert repository_id("https://user%3Asecret%40github.com/o/r") is None


@pytest.mark.parametrize(
    "part",
    ["a:b,", "a:b=", '"a:', "a:b@", "?token=", "//a:b@c.", "x@a.b.", "://a:", "://a:@", "a" * 20 + "@", "a" * 19],
)
def test_taking_credentials_out_costs_linear_time(part: str) -> None:
    text = "@" + part * 300_000
    assert len(without_credentials(text)) <= len(text) + 4 * 300_000


@given(st.text())
def test_an_id_never_ends_the_program_and_is_lower_case(text: str) -> None:
    identity = repository_id(text)
    assert identity is None or identity == identity.lower()


@pytest.mark.parametrize(
    "url", ["git@ssh.dev.azure.com:v3/o/p/r", "https://o.visualstudio.com/_git/r", "https://www.github.com/o/r"]
)
def test_the_id_of_an_id_is_itself(url: str) -> None:
    identity = repository_id(url)
    assert repository_id(identity) == identity


def test_a_token_of_any_length_is_taken_out_of_a_url() -> None:
    token = "eyJ" + "a" * 5_000
    assert without_credentials(f"https://build:{token}@example.com/o/r") == "https://example.com/o/r"
    assert without_credentials(f"https://{token}@example.com/o/r and more") == "https://example.com/o/r and more"


@pytest.mark.parametrize("text", [None, "", "  ", "N/A", "n/a", " None ", "NULL", "null", "Unknown", "UNKNOWN\n"])
def test_a_version_that_says_that_there_is_none_is_none(text: str | None) -> None:
    assert version_of(text) is None


@pytest.mark.parametrize(
    ("text", "version"), [(" 1.10 ", "1.10"), ("none-of-it", "none-of-it"), ("0", "0"), ("na", "na")]
)
def test_any_other_text_is_a_version_as_it_is(text: str, version: str) -> None:
    assert version_of(text) == version
