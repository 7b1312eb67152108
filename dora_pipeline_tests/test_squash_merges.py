"""Squash merges count by their original commits, and every commit once: through runs, and against git itself."""

import random
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dora_pipeline.warehouse import commits
from dora_pipeline_tests.git_histories import History, git
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.lead_times import REPOSITORY, Delivered, delivered_by_git, reasons

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = 3600
DAY = 24 * HOUR
Brought = dict[str, tuple[str | None, bool]]


def at(seconds: float) -> str:
    return (NEW_YEAR + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()


def deploy(home: TestHome, deployment_id: str, day: float, sha: str, service: str = "shop") -> None:
    tags = {"commit_sha": sha, "repository_url": f"https://{REPOSITORY}.git"}
    home.deploy(service, at(day * DAY), id=deployment_id, git=tags)


def brought(home: TestHome, deployment_id: str) -> Brought:
    """The commits that a deployment brought, what each landed as, and whether an earlier one had it."""
    query = "SELECT commit_sha, landed_as_sha, is_redelivery FROM core.deployment_commits WHERE deployment_id = ?"
    return {sha: (landed, again) for sha, landed, again in home.rows(query, deployment_id)}


def patterned(home: TestHome, service: str, *patterns: str) -> None:
    home.home.services.mkdir(exist_ok=True)
    (home.home.services / f"{service}.yaml").write_text(
        f"apiVersion: v3\nkind: service\nmetadata: {{name: {service}}}\n"
        f"datadog: {{codeLocations: [{{repositoryURL: 'https://{REPOSITORY}', paths: {list(patterns)}}}]}}\n"
    )


@pytest.fixture
def requests(remote: Path) -> Mapping[str, str]:
    """A branch that squashes, with requests as GitHub and GitLab show them; SHAs by name."""
    history = History()
    names = {"root": history.commit(files={"src/x": "0", "docs/x": "0"})}

    def commit(name: str, *parents: str, message: str | None = None, files: Mapping[str, str] | None = None) -> None:
        seconds = len(names) * HOUR
        numbers = [names[parent] for parent in parents]
        names[name] = history.commit(*numbers, committed=seconds, message=message or name, files=files)

    commit("a1", "root", files={"src/x": "1"})
    commit("a2", "a1", files={"docs/x": "1"})
    commit("A", "root", message="Add a, with\x1b[31m colour (#1)", files={"src/x": "1", "docs/x": "1"})
    # Stacked on the first, with main merged in.
    commit("b1", "a2")
    commit("b2", "b1", "A")
    commit("b3", "b2", message="This is b3\n\nThis reverts commit abcdef1234.")
    commit("B", "A", message="Add b (#2)")
    commit("C", "B", message="Fix what the issue says (#3)")
    commit("d1", "B")
    commit("D", "C", message="Add d\n\nSee merge request group/app!4")
    commit("e1", "D")
    commit("E", "D", message="Add e (!5)")
    # What it holds is in the first request already.
    commit("F", "E", message="Once more (#6)")
    # Not squashed, with the number in the subjects of its own commits.
    commit("g1", "F", message="Begin g (#7)")
    commit("g2", "g1", message="End g (#7)")
    # The branch took main in after it had been squashed.
    commit("h1", "g2")
    commit("H", "g2", message="Add h (#8)")
    commit("h2", "h1", "H")
    shas = history.write(remote, {"main": names["F"], "release": names["H"]})
    found = {name: shas[number] for name, number in names.items()}
    heads = {"pull/1": "a2", "pull/2": "b3", "merge-requests/4": "d1", "merge-requests/5": "e1", "pull/6": "a2"}
    heads |= {"pull/7": "g2", "pull/8": "h2"}
    for ref, name in heads.items():
        git(remote, "update-ref", f"refs/{ref}/head", found[name])
    return found


def test_squash_merges_count_by_their_original_commits_and_each_commit_once(
    home: TestHome, remote: Path, requests: Mapping[str, str]
) -> None:
    sha = requests
    for day, (name, commit) in enumerate(
        {"one": "root", "two": "A", "three": "B", "four": "F", "back": "B", "forth": "F"}.items(), start=1
    ):
        deploy(home, name, day, sha[commit])
    # The branch of a request went live before it was squashed.
    for day, (name, commit) in enumerate({"s1": "root", "s2": "a2", "s3": "A"}.items(), start=1):
        deploy(home, name, day, sha[commit], service="cart")
    patterned(home, "docs", "docs/**")
    for day, (name, commit) in enumerate({"p1": "root", "p2": "A"}.items(), start=1):
        deploy(home, name, day, sha[commit], service="docs")
    for day, (name, commit) in enumerate({"f1": "F", "f2": "g2", "f3": "H"}.items(), start=1):
        deploy(home, name, day, sha[commit], service="fast")
    (warning,) = [warning for warning in home.run(warns=True).warnings if warning.name == "squash_merges_expanded"]
    assert f"{REPOSITORY} (1 of 7, all days)" in warning.line

    last = {"C": None, "d1": "D", "e1": "E", "F": None}
    assert brought(home, "two") == {sha["a1"]: (sha["A"], False), sha["a2"]: (sha["A"], False)}
    assert brought(home, "three") == {sha["b1"]: (sha["B"], False), sha["b3"]: (sha["B"], False)}
    assert brought(home, "four") == {sha[name]: (landed and sha[landed], False) for name, landed in last.items()}
    assert brought(home, "back") == {}
    assert brought(home, "forth") == {sha[name]: (landed and sha[landed], True) for name, landed in last.items()}
    assert brought(home, "s2") == {sha["a1"]: (None, False), sha["a2"]: (None, False)}
    assert brought(home, "s3") == {sha["a1"]: (sha["A"], True), sha["a2"]: (sha["A"], True)}
    assert brought(home, "p2") == {sha["a2"]: (sha["A"], False)}
    assert brought(home, "f2") == {sha["g1"]: (None, False), sha["g2"]: (None, False)}
    assert brought(home, "f3") == {sha["h1"]: (sha["H"], False)}
    assert {name: reasons(home)[name] for name in ("four", "back", "forth", "s3")} == {
        "four": None,
        "back": "no_commits",
        "forth": "redelivered",
        "s3": "redelivered",
    }
    assert home.rows(
        "SELECT lead_time_commits, lead_time_mean_seconds FROM core.deployments WHERE deployment_id = 'two'"
    ) == [(2, 2 * DAY - 1.5 * HOUR)]
    assert home.rows("SELECT COUNT(*) FROM metrics.measures WHERE measure = 'commit'") == [(2 + 2 + 4 + 2 + 1 + 2 + 1,)]
    assert home.rows(
        "SELECT DISTINCT landed_subject, reverts FROM landing.range_commits WHERE commit_sha IN (?, ?) "
        "AND landed_as_sha <> commit_sha ORDER BY ALL",
        sha["a1"],
        sha["b3"],
    ) == [
        ("Add a, with [31m colour (#1)", []),
        ("Add b (#2)", []),
        ("Add b (#2)", ["abcdef1234"]),
        ("Once more (#6)", []),
    ]
    assert home.rows("SELECT DISTINCT UNNEST(unexpanded) FROM landing.commit_ranges") == [(sha["C"],)]
    expanded = home.tables()

    # The remote drops the heads of requests; then a mirror with a broken commit, which two of the heads
    # reach, is made again.
    for ref in git(remote, "for-each-ref", "--format=%(refname)", "refs/pull", "refs/merge-requests").split():
        git(remote, "update-ref", "-d", ref)
    (mirror,) = home.home.git.glob("*.git")
    lost = mirror / "objects" / sha["F"][:2] / sha["F"][2:]
    lost.chmod(0o644)
    lost.write_bytes(b"")
    deploy(home, "between", 3.5, sha["D"])
    home.notes.notes.clear()
    home.run()
    assert len([note for note in home.notes.notes if "was made again" in note]) == 1
    assert brought(home, "between") == {sha["C"]: (None, False), sha["d1"]: (sha["D"], False)}
    assert brought(home, "four") == {sha["e1"]: (sha["E"], False), sha["F"]: (None, False)}
    assert brought(home, "forth") == {sha[name]: (landed and sha[landed], True) for name, landed in last.items()}
    before = home.tables()
    home.run(rebuild=True)
    assert home.tables() == before != expanded

    home.settings(repositories={REPOSITORY: str(remote)}, squash_merges="landed")
    home.run()
    assert brought(home, "two") == {sha["A"]: (None, False)}
    assert brought(home, "three") == {sha["B"]: (None, False)}
    assert brought(home, "s3") == {sha["A"]: (None, False)}
    home.settings(repositories={REPOSITORY: str(remote)})
    home.run()
    assert home.tables() == before

    # With the mirror lost as well, the originals are in what was published alone.
    shutil.rmtree(home.home.git)
    home.run(rebuild=True)
    assert brought(home, "two") == {}
    home.run()
    assert home.tables() == before


def deploy_while_silent(home: TestHome, remote: Path, sha: Mapping[str, str]) -> Path:
    """Deploy A after the remote was moved away; where it is now."""
    deploy(home, "one", 1, sha["root"])
    home.run()
    gone = remote.rename(remote.with_name("gone.git"))
    deploy(home, "two", 2, sha["A"])
    return gone


def test_a_range_waits_as_it_is_while_its_remote_is_silent_and_is_looked_up_as_soon_as_it_answers(
    home: TestHome, remote: Path, requests: Mapping[str, str]
) -> None:
    sha = requests
    gone = deploy_while_silent(home, remote, sha)
    assert [day.day for day in home.run().days] == [3]
    landed = {sha["A"]: (None, False)}
    assert brought(home, "two") == landed
    assert home.run().days == []
    gone.rename(remote)
    assert [day.day for day in home.run().days] == [3]
    assert brought(home, "two") == {sha["a1"]: (sha["A"], False), sha["a2"]: (sha["A"], False)}
    assert home.run().days == []


def test_what_a_run_finds_of_a_range_that_waits_is_found_again_where_the_run_ends_before_it_is_kept_whole(
    home: TestHome, remote: Path, requests: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = requests
    gone = deploy_while_silent(home, remote, sha)
    home.run()
    gone.rename(remote)

    def ended(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(commits, "mark_days", ended)
        with pytest.raises(KeyboardInterrupt):
            home.run()
    assert [day.day for day in home.run().days] == [3]
    assert brought(home, "two") == {sha["a1"]: (sha["A"], False), sha["a2"]: (sha["A"], False)}


def test_a_head_that_the_remote_offers_later_is_looked_for_while_its_deployment_is_recent(
    home: TestHome, remote: Path, requests: Mapping[str, str]
) -> None:
    sha = requests
    git(remote, "update-ref", "-d", "refs/pull/1/head")
    deploy(home, "one", 1, sha["root"])
    deploy(home, "two", 2, sha["A"])
    home.run()
    git(remote, "update-ref", "refs/pull/1/head", sha["a2"])
    assert home.run().days == []
    assert brought(home, "two") == {sha["A"]: (None, False)}
    home.settings(repositories={REPOSITORY: str(remote)}, reread="9999d")
    assert [day.day for day in home.run().days] == [3]
    assert brought(home, "two") == {sha["a1"]: (sha["A"], False), sha["a2"]: (sha["A"], False)}
    assert home.run().days == []


@pytest.fixture
def picked(remote: Path) -> tuple[Path, Mapping[str, str]]:
    """A squash merge that was picked to another branch, which the remote lacks: where that is, and SHAs by name."""
    history, whole = History(), remote.with_name("whole.git")
    root = history.commit()
    names = {"original": history.commit(root, committed=HOUR), "base": history.commit(root, committed=2 * HOUR)}
    names["squash"] = history.commit(names["base"], committed=3 * HOUR, message="Add a (#1)")
    names["pick"] = history.commit(root, committed=4 * HOUR, message="Add a (#1)")
    shas = history.write(whole, {"main": names["squash"], "release": names["pick"]})
    git(remote, "init", "--quiet", "--bare")
    git(whole, "push", "--quiet", str(remote), "main", f"{shas[names['original']]}:refs/pull/1/head")
    return whole, {name: shas[number] for name, number in names.items()}


@pytest.mark.parametrize(
    ("is_told_late", "changed"), [(False, {"reread": "36500d"}), (True, {}), (False, {"timezone": "Europe/Berlin"})]
)
def test_a_pick_that_comes_to_the_remote_after_a_range_was_read_had_its_commits_all_the_same(
    home: TestHome, remote: Path, picked: tuple[Path, Mapping[str, str]], is_told_late: bool, changed: dict[str, str]
) -> None:
    whole, sha = picked
    for day, name in enumerate(("pick", "base", "squash"), start=1):
        if not (is_told_late and name == "pick"):
            deploy(home, name, day, sha[name])
    home.run()
    assert brought(home, "squash") == {sha["original"]: (sha["squash"], False)}
    git(whole, "push", "--quiet", str(remote), "release")
    if is_told_late:
        deploy(home, "pick", 1, sha["pick"])
    # The branch is fetched for a new commit, or for one that is young enough.
    home.settings(repositories={REPOSITORY: str(remote)}, **{"reread": "36500d", **changed})
    home.run()
    assert brought(home, "squash") == {sha["original"]: (sha["squash"], True)}
    assert reasons(home)["squash"] == "redelivered"
    assert home.run().days == []


def test_what_is_read_again_of_a_range_for_one_service_counts_for_the_others_that_have_it(
    home: TestHome, remote: Path
) -> None:
    names, history = {}, History()
    names["root"] = root = history.commit()
    a1 = history.commit(root, committed=1 * HOUR)
    a2 = history.commit(a1, committed=2 * HOUR)
    # The release has the beginning of the request already, and the end of it before main.
    release = history.commit(root, a1, committed=3 * HOUR)
    names["pick"] = history.commit(release, committed=4 * HOUR, message="Add a (#1)")
    names["base"] = history.commit(root, committed=5 * HOUR)
    names["squash"] = history.commit(names["base"], committed=6 * HOUR, message="Add a (#1)")
    shas = history.write(remote, {"main": names["squash"], "release": names["pick"]})
    git(remote, "update-ref", "-d", "refs/heads/release")
    git(remote, "update-ref", "refs/pull/1/head", shas[a2])
    sha = {name: shas[number] for name, number in names.items()}
    for service, days in {"shop": (2, 4, 6), "cart": (3, 5, 7)}.items():
        for day, name in zip(days, ("root", "base", "squash"), strict=True):
            deploy(home, f"{service}-{name}", day, sha[name], service=service)
    home.run()
    squash = sha["squash"]
    assert brought(home, "cart-squash") == {shas[a1]: (squash, False), shas[a2]: (squash, False)}
    git(remote, "update-ref", "refs/heads/release", sha["pick"])
    deploy(home, "shop-pick", 3, sha["pick"])
    home.run()
    assert brought(home, "shop-squash") == {squash: (None, False)}
    assert brought(home, "cart-squash") == {shas[a2]: (squash, False)}
    before = home.tables()
    home.run(rebuild=True)
    assert home.tables() == before


def test_what_a_range_had_stays_where_neither_the_remote_nor_a_mirror_made_again_has_its_requests(
    home: TestHome, remote: Path, picked: tuple[Path, Mapping[str, str]]
) -> None:
    whole, sha = picked
    for day, name in enumerate(("base", "squash"), start=2):
        deploy(home, name, day, sha[name])
    home.run()
    git(remote, "update-ref", "-d", "refs/pull/1/head")
    git(whole, "push", "--quiet", str(remote), "release")
    shutil.rmtree(home.home.git)
    deploy(home, "pick", 1, sha["pick"])
    home.run()
    assert brought(home, "squash").keys() == {sha["original"]}


def test_heads_that_lately_are_missing_are_told_though_those_of_years_are_there(home: TestHome, remote: Path) -> None:
    history = History()
    tips = [history.commit()]
    originals = []
    for number in range(1, 27):
        originals.append(history.commit(tips[-1], committed=number * HOUR))
        tips.append(history.commit(tips[-1], committed=number * HOUR, message=f"Change something (#{number})"))
    shas = history.write(remote, {"main": tips[-1]})
    for number, original in enumerate(originals[:-1], start=1):
        git(remote, "update-ref", f"refs/pull/{number}/head", shas[original])
    today = (datetime.now(UTC) - NEW_YEAR).days
    for day, tip in ((today - 200, 0), (today - 190, -2), (today - 40, -2)):
        deploy(home, f"of {day}", day, shas[tips[tip]])
    assert home.run().warnings == []
    deploy(home, "of lately", today - 2, shas[tips[-1]])
    (warning,) = [warning for warning in home.run(warns=True).warnings if warning.name == "squash_merges_expanded"]
    assert f"squash commits that count themselves (1): {REPOSITORY} (1 of 1, last 30 days)" in warning.line


def test_what_a_request_is_does_not_depend_on_the_branch_it_landed_on_nor_on_where_ranges_begin(
    home: TestHome, remote: Path
) -> None:
    history = History()
    names = {"root": history.commit()}

    def commit(name: str, *parents: str, message: str | None = None) -> None:
        numbers = [names[parent] for parent in parents]
        names[name] = history.commit(*numbers, committed=len(names) * HOUR, message=message or name)

    commit("one", "root")
    commit("a1", "one")
    commit("A", "one", message="Add a (#1)")
    # Stacked on the first, which is in the first deployment's history.
    commit("b1", "a1")
    commit("B", "A", message="Add b (#2)")
    commit("c1", "B")
    # A part of the third, squashed into its branch.
    commit("p1", "c1")
    commit("p2", "p1")
    commit("P", "c1", message="A part (#4)")
    commit("C", "B", message="Add c (#3)")
    # The release lacks what main has before the third.
    commit("pick", "root", message="Add c (#3)")
    commit("pick again", "pick", message="Add b (#2)")
    shas = history.write(remote, {"main": names["C"], "release": names["pick again"]})
    sha = {name: shas[number] for name, number in names.items()}
    for number, name in {1: "a1", 2: "b1", 3: "P", 4: "p2"}.items():
        git(remote, "update-ref", f"refs/pull/{number}/head", sha[name])
    for service, deployed in {"main": ["A", "B", "C"], "release": ["root", "pick", "pick again"]}.items():
        for day, name in enumerate(deployed, start=1):
            deploy(home, f"{service}-{name}", day, sha[name], service=service)
    for day, name in enumerate(["C", "pick", "b1"], start=1):
        deploy(home, f"moved-{name}", day, sha[name], service="moved")
    # The beginning of what no branch has, and no squash commit names.
    git(remote, "update-ref", "refs/pull/5/head", sha["p1"])
    for day, name in enumerate([sha["c1"], sha["p1"][:9].upper()], start=1):
        deploy(home, f"part-{day}", day, name, service="part")
    home.run()
    assert brought(home, "part-2") == {sha["p1"]: (None, False)}
    assert brought(home, "main-B") == {sha["a1"]: (sha["B"], True), sha["b1"]: (sha["B"], False)}
    parts = ("c1", "p1", "p2")
    assert brought(home, "main-C") == {sha[name]: (sha["C"], False) for name in parts}
    assert brought(home, "release-pick") == {sha[name]: (sha["pick"], False) for name in parts}
    again = sha["pick again"]
    assert brought(home, "release-pick again") == {sha["a1"]: (again, False), sha["b1"]: (again, False)}
    # All of it was on main, whichever branch has it now.
    assert brought(home, "moved-pick") == {sha[name]: (sha["pick"], True) for name in parts}
    assert brought(home, "moved-b1") == {sha["one"]: (None, True), sha["a1"]: (None, True), sha["b1"]: (None, True)}
    assert reasons(home)["moved-b1"] == "redelivered"
    before = home.tables()
    home.run(rebuild=True)
    assert home.tables() == before


def random_repository(choose: random.Random, remote: Path) -> tuple[list[str], list[str]]:
    """A main branch of squash merges, merges and plain commits; the SHAs of main, and of the heads of requests."""
    history = History()
    main = [history.commit()]
    heads: dict[str, int] = {}
    for number in range(1, 13):
        start = choose.choice([*main[-4:], *list(heads.values())[-2:]])
        tip = history.commit(start, message=f"work {number}")
        if choose.random() < 0.4:
            tip = history.commit(tip, main[-1])
        if choose.random() < 0.5:
            tip = history.commit(tip)
        way = choose.choice(["squash", "squash", "merge", "gone", "gitlab"])
        if way == "merge":
            main.append(history.commit(main[-1], tip))
            continue
        subject = f"Change (!{number})" if way == "gitlab" else f"Change (#{number})"
        main.append(history.commit(main[-1], message=subject))
        if way != "gone":
            heads[f"refs/{'merge-requests' if way == 'gitlab' else 'pull'}/{number}/head"] = tip
    shas = history.write(remote, {"main": main[-1]})
    for ref, tip in heads.items():
        git(remote, "update-ref", ref, shas[tip])
    return [shas[number] for number in main], [shas[number] for number in heads.values()]


def test_what_is_delivered_is_what_git_says_of_each_deployment_in_whatever_order_they_come(
    home: TestHome, remote: Path
) -> None:
    choose = random.Random(11)
    main, heads = random_repository(choose, remote)
    deployed: list[Delivered] = []
    for service in ("a", "b", "c", "d", "e", "f"):
        place = 0
        for day in sorted(choose.sample(range(1, 40), 9)):
            place = max(0, min(len(main) - 1, place + choose.choice([-2, 0, 1, 1, 2, 3])))
            sha = choose.choice(heads) if choose.random() < 0.25 else main[place]
            deployed.append(Delivered(f"{service}-{day}", service, day, sha))
    waiting = choose.sample(deployed, len(deployed))
    for part in (waiting[:30], waiting[30:45], waiting[45:]):
        for item in part:
            deploy(home, item.deployment_id, item.day, item.sha, service=item.service)
        home.run()
    expected = delivered_by_git(remote, deployed, main[-1])
    assert sum(again for *_, again in expected) > 5
    assert sum(landed is not None for *_, landed, again in expected) > 20
    found = home.rows("SELECT deployment_id, commit_sha, landed_as_sha, is_redelivery FROM core.deployment_commits")
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
    before = home.tables()
    home.run(rebuild=True)
    assert home.tables() == before
