import random
import re
import shutil
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from dora_pipeline.errors import RepositoryError
from dora_pipeline.repositories.mirror import Mirror
from dora_pipeline.repositories.patterns import has_files
from dora_pipeline.repositories.ranges import MAXIMUM_COMMITS, Range, read_ranges
from dora_pipeline_tests.git_histories import History, dated_commit, git

Pair = tuple[str, str]


def mirrored(history: History, tmp_path: Path, branches: Mapping[str, int]) -> tuple[Mirror, Sequence[str]]:
    shas = history.write(tmp_path / "remote.git", branches)
    mirror = Mirror(tmp_path / "git", "example.com/org/app", str(tmp_path / "remote.git"))
    mirror.fetch()
    return mirror, shas


def found(mirror: Mirror, ranges: Collection[Pair], patterns: Sequence[str] = ()) -> dict[Pair, set[str]]:
    commits: dict[Pair, set[str]] = defaultdict(set)
    for base, head, sha, *_ in range_commits(mirror, ranges, patterns).iter_rows():
        assert sha not in commits[base, head]
        commits[base, head].add(sha)
    return dict(commits)


def range_commits(mirror: Mirror, pairs: Collection[Pair], patterns: Sequence[str]) -> pl.DataFrame:
    """The commits of each range, without squash merges: base_sha, head_sha, commit_sha, authored_at, committed_at."""
    read = read_ranges(mirror, {f"{base}..{head}": Range(base, head, tuple(patterns)) for base, head in pairs})
    assert read.commits["landed_as_sha"].is_null().all()
    rows = read.commits.filter("is_touching").join(read.ranges, on="range_id", maintain_order="left")
    return rows.select("base_sha", "head_sha", "commit_sha", "authored_at", "committed_at")


def told_by_git(mirror: Mirror, ranges: Collection[Pair]) -> dict[Pair, set[str]]:
    told = {
        (base, head): set(git(mirror.path, "rev-list", "--no-merges", f"{base}..{head}").split())
        for base, head in ranges
    }
    return {pair: commits for pair, commits in told.items() if commits}


def test_the_example_of_the_definition(tmp_path: Path) -> None:
    history = History()
    first = history.commit(committed=0)
    c1 = history.commit(first, committed=3600)
    c2 = history.commit(c1, committed=15 * 3600)
    c3 = history.commit(c2, authored=16 * 3600, committed=17 * 3600)
    c4 = history.commit(c2, c3, committed=18 * 3600)
    mirror, shas = mirrored(history, tmp_path, {"main": c4})
    frame = range_commits(mirror, [(shas[c1], shas[c4])], [])
    assert frame.schema == {
        "base_sha": pl.String,
        "head_sha": pl.String,
        "commit_sha": pl.String,
        "authored_at": pl.Datetime("us", "UTC"),
        "committed_at": pl.Datetime("us", "UTC"),
    }
    assert frame.rows() == [
        (shas[c1], shas[c4], shas[c3], datetime(2024, 1, 1, 16, tzinfo=UTC), datetime(2024, 1, 1, 17, tzinfo=UTC)),
        (shas[c1], shas[c4], shas[c2], datetime(2024, 1, 1, 15, tzinfo=UTC), datetime(2024, 1, 1, 15, tzinfo=UTC)),
    ]


def test_no_ranges_give_the_same_columns_and_start_no_git(tmp_path: Path) -> None:
    frame = range_commits(Mirror(tmp_path, "example.com/org/app", "/nowhere"), [], [])
    assert frame.is_empty()
    assert frame.schema["authored_at"] == pl.Datetime("us", "UTC")


def test_a_rollback_and_a_redeploy_bring_no_commits(tmp_path: Path) -> None:
    history = History()
    old = history.commit()
    new = history.commit(history.commit(old, committed=60), committed=120)
    mirror, shas = mirrored(history, tmp_path, {"main": new})
    assert found(mirror, [(shas[new], shas[old]), (shas[new], shas[new])]) == {}


def test_a_range_between_unrelated_histories_is_all_that_the_head_reaches(tmp_path: Path) -> None:
    history = History()
    one = history.commit(history.commit(), committed=60)
    other = history.commit(history.commit(committed=1), committed=61)
    mirror, shas = mirrored(history, tmp_path, {"main": one, "orphan": other})
    assert found(mirror, [(shas[one], shas[other])]) == {(shas[one], shas[other]): {shas[3], shas[4]}}


def test_a_criss_cross_merge_is_resolved(tmp_path: Path) -> None:
    history = History()
    root = history.commit()
    left, right = history.commit(root, committed=1), history.commit(root, committed=2)
    left_merge, right_merge = history.commit(left, right, committed=3), history.commit(right, left, committed=4)
    head = history.commit(left_merge, committed=5)
    other = history.commit(right_merge, committed=6)
    mirror, shas = mirrored(history, tmp_path, {"main": head, "other": other})
    ranges = [(shas[other], shas[head]), (shas[left], shas[other]), (shas[right], shas[head])]
    assert found(mirror, ranges) == {
        ranges[0]: {shas[head]},
        ranges[1]: {shas[right], shas[other]},
        ranges[2]: {shas[left], shas[head]},
    }


def random_history(seed: int, size: int, most_skew: int) -> tuple[History, dict[int, list[int]]]:
    """Branches, merges of two and three, several roots, and clocks that go wrong by up to `most_skew` seconds."""
    chance = random.Random(seed)
    history, parents = History(), {}
    for number in range(1, size + 1):
        oldest = max(1, number - chance.choice([3, 10, size]))
        many = chance.choices([0, 1, 2, 3], [3, 65, 27, 5])[0]
        parents[number] = chance.sample(range(oldest, number), min(many, number - oldest))
        history.commit(*parents[number], committed=10**6 + number * 60 + chance.randint(-most_skew, most_skew))
    return history, parents


@pytest.mark.parametrize("seed", range(6))
def test_ranges_of_random_histories_equal_those_that_git_tells(tmp_path: Path, seed: int) -> None:
    history, parents = random_history(seed, 80, most_skew=0)
    inner = {parent for commit in parents.values() for parent in commit}
    mirror, shas = mirrored(history, tmp_path, {f"b{head}": head for head in parents if head not in inner})
    chance = random.Random(seed)
    ranges = [(chance.choice(shas[20 * (seed % 3) + 1 :]), chance.choice(shas[1:])) for _ in range(30)]
    assert found(mirror, ranges) == told_by_git(mirror, ranges)
    assert found(mirror, ranges[:2]) == told_by_git(mirror, ranges[:2])


@pytest.mark.parametrize("seed", range(4))
def test_ranges_are_exact_where_clocks_were_wrong(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    history, parents = History(), {1: []}
    history.commit(committed=0)
    for number in range(2, 401):
        parents[number] = [number - 1] if number % 7 else sorted({number - 1, chance.randint(1, number - 1)})
        history.commit(
            *parents[number], committed=10**6 + chance.randint(-30_000, 30_000) if chance.random() < 0.9 else 5
        )
    mirror, shas = mirrored(history, tmp_path, {"main": 400})
    reached: dict[int, set[int]] = {}
    for number in parents:
        reached[number] = {number}.union(*(reached[parent] for parent in parents[number]))
    for _ in range(10):
        base, head = chance.randint(200, 400), chance.randint(200, 400)
        expected = {shas[commit] for commit in reached[head] - reached[base] if len(parents[commit]) < 2}
        pair = (shas[base], shas[head])
        assert found(mirror, [pair]) == ({pair: expected} if expected else {})


def test_ranges_over_bases_without_a_common_ancestor_are_exact(tmp_path: Path) -> None:
    history = History()
    roots = [history.commit(committed=number) for number in range(12)]
    heads = [history.commit(root, committed=100 + root) for root in roots]
    merged = history.commit(*heads, committed=1000)
    mirror, shas = mirrored(history, tmp_path, {"main": merged})
    ranges = [(shas[root], shas[merged]) for root in roots]
    assert found(mirror, ranges) == {
        (shas[root], shas[merged]): {shas[commit] for commit in (*roots, *heads)} - {shas[root]} for root in roots
    }


def test_a_range_holds_the_5000_newest_commits(tmp_path: Path) -> None:
    history = History()
    base = history.commit()
    for number in range(1, MAXIMUM_COMMITS + 11):
        history.commit(number, committed=number)
    mirror, shas = mirrored(history, tmp_path, {"main": MAXIMUM_COMMITS + 11})
    pair = (shas[base], shas[-1])
    assert MAXIMUM_COMMITS == 5000
    assert found(mirror, [pair]) == {pair: set(shas[12:])}


def test_commits_of_one_second_are_cut_by_their_sha(tmp_path: Path) -> None:
    history = History()
    base = history.commit()
    for number in range(1, MAXIMUM_COMMITS + 3):
        history.commit(number, committed=60)
    mirror, shas = mirrored(history, tmp_path, {"main": MAXIMUM_COMMITS + 3})
    pair = (shas[base], shas[-1])
    assert found(mirror, [pair]) == {pair: set(sorted(shas[2:])[:MAXIMUM_COMMITS])}


def test_the_commits_of_a_force_pushed_branch_can_still_be_compared(tmp_path: Path) -> None:
    history = History()
    root = history.commit()
    old = history.commit(root, committed=60)
    new = history.commit(root, committed=120)
    mirror, shas = mirrored(history, tmp_path, {"main": old, "new": new})
    git(tmp_path / "remote.git", "update-ref", "refs/heads/main", shas[new])
    git(tmp_path / "remote.git", "update-ref", "-d", "refs/heads/new")
    mirror.fetch()
    assert found(mirror, [(shas[old], shas[new])]) == {(shas[old], shas[new]): {shas[new]}}


def test_replaced_commits_are_those_that_were_deployed(tmp_path: Path) -> None:
    history = History()
    root = history.commit()
    head = history.commit(history.commit(root, committed=60), committed=120)
    stand_in = history.commit(root, committed=180)
    mirror, shas = mirrored(history, tmp_path, {"main": head, "other": stand_in})
    git(mirror.path, "replace", shas[head], shas[stand_in])
    assert found(mirror, [(shas[root], shas[head])]) == {(shas[root], shas[head]): {shas[2], shas[head]}}


DATES = ["", "-1 +0000", "0 +0000", "31535999 +0000", "7258118400 +0000", "99999999999999999999999 +0000", "soon"]


@pytest.mark.parametrize("date", DATES)
def test_a_commit_without_a_usable_time_has_none_and_its_neighbours_have_theirs(tmp_path: Path, date: str) -> None:
    history = History()
    remote = tmp_path / "remote.git"
    shas = history.write(remote, {"main": history.commit()})
    broken = dated_commit(remote, shas[1], date)
    after = dated_commit(remote, broken, "1704070800 +0000")
    git(remote, "update-ref", "refs/heads/main", after)
    mirror = Mirror(tmp_path / "git", "example.com/org/app", str(remote))
    mirror.fetch()
    assert mirror.has_commit_graph
    one = datetime(2024, 1, 1, 1, tzinfo=UTC)
    frame = range_commits(mirror, [(shas[1], after), (broken, after)], [])
    assert set(frame.select("base_sha", "commit_sha", "authored_at", "committed_at").rows()) == {
        (shas[1], broken, None, None),
        (shas[1], after, one, one),
        (broken, after, one, one),
    }


def test_ranges_are_as_exact_where_git_could_write_no_generation_numbers(tmp_path: Path) -> None:
    history = History()
    shared = history.commit(committed=0)
    base = shared
    for number in range(1, 12):
        # So old, and so many, that git by dates alone takes them for what the other side does not reach.
        base = history.commit(base, committed=-number * 10_000_000)
    other = history.commit(base, committed=100)
    head = history.commit(base, committed=200)
    mirror, shas = mirrored(history, tmp_path, {"main": head, "other": other})
    shutil.rmtree(mirror.path / "objects" / "info" / "commit-graphs")
    assert not mirror.has_commit_graph
    pairs = [(shas[base], shas[head]), (shas[other], shas[head])]
    assert found(mirror, pairs) == {pair: {shas[head]} for pair in pairs}


@pytest.mark.parametrize("sha", ["0123456789" * 4, "main", "--all", "^main", "", "abc1234", "f" * 40 + "\n"])
def test_a_range_of_what_is_no_commit_of_the_mirror_is_an_error(tmp_path: Path, sha: str) -> None:
    history = History()
    mirror, shas = mirrored(history, tmp_path, {"main": history.commit()})
    for pair in ((sha, shas[1]), (shas[1], sha)):
        with pytest.raises(RepositoryError, match=re.escape(repr(sha))):
            range_commits(mirror, [pair], [])


PATHS = (
    "README.md",
    "src/main.py",
    "src/apps/shopist/app.py",
    "src/apps/shopist/deep/er/x.py",
    "src/apps/shopist2/app.py",
    "src/apps/other/app.ts",
    "lib/src/apps/shopist/app.py",
    "with space/a b.txt",
    "{a,b}/c.txt",
    "a/c.txt",
    "-x/y.txt",
    ":!odd/z.txt",
    "(top)/z.txt",
)

# The pattern, and what it means as a regular expression over the whole path.
PATTERNS = {
    "src/apps/shopist/**": r"src/apps/shopist/.*",
    "src/apps/shopist": r"src/apps/shopist/.*",
    "src/apps/shopist/": r"src/apps/shopist/.*",
    "./src/apps/shopist": r"src/apps/shopist/.*",
    "/src/apps/shopist": r"src/apps/shopist/.*",
    "README.md": r"README\.md",
    "**": r".*",
    "*.md": r"[^/]*\.md",
    "*": r"[^/]*",
    "src/*": r"src/[^/]*",
    "src/*/": r"src/[^/]*/.*",
    "**/*.ts": r"(.*/)?[^/]*\.ts",
    "**/shopist/**": r"(.*/)?shopist/.*",
    "src/**/app.py": r"src/(.*/)?app\.py",
    "src/apps/shopis?/*": r"src/apps/shopis[^/]/[^/]*",
    "src/apps/*/app.py": r"src/apps/[^/]*/app\.py",
    "with space": r"with space/.*",
    "with space/a *": r"with space/a [^/]*",
    "{a,b}/c.txt": r"\{a,b\}/c\.txt",
    "{a,b}/*": r"\{a,b\}/[^/]*",
    "-x": r"-x/.*",
    "-x/*": r"-x/[^/]*",
    ":!odd": r":!odd/.*",
    ":!odd/*": r":!odd/[^/]*",
    "(top)/*": r"\(top\)/[^/]*",
    "nothing/**": r"nothing/.*",
}


@pytest.fixture(scope="module")
def many_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mirror, Pair, dict[str, set[str]]]:
    """A mirror, its whole range, and the paths that each commit in it changes, as `git diff-tree` tells them."""
    history, chance = History(), random.Random(5)
    history.commit(files={"start": "0"})
    for number in range(1, 61):
        paths = chance.sample(PATHS, chance.choice([0, 1, 1, 2]))
        side = chance.randint(1, number) if number % 5 == 0 else number
        others = [number] if side != number else []
        history.commit(side, *others, committed=number, files=dict.fromkeys(paths, f"{number}"))
    mirror, shas = mirrored(history, tmp_path_factory.mktemp("patterns"), {"main": 61})
    changes = {}
    for sha in git(mirror.path, "rev-list", "--no-merges", f"{shas[1]}..{shas[61]}").split():
        names = git(mirror.path, "diff-tree", "-r", "-z", "--root", "--no-commit-id", "--name-only", sha)
        changes[sha] = {name for name in names.split("\0") if name}
    return mirror, (shas[1], shas[61]), changes


@pytest.mark.parametrize("pattern", PATTERNS)
def test_only_commits_that_change_a_matching_file_count(
    many_files: tuple[Mirror, Pair, dict[str, set[str]]], pattern: str
) -> None:
    mirror, pair, changes = many_files
    meaning = re.compile(PATTERNS[pattern])
    expected = {sha for sha, paths in changes.items() if any(meaning.fullmatch(path) for path in paths)}
    assert found(mirror, [pair], [pattern]) == ({pair: expected} if expected else {})


# Several patterns, and what they mean as a regular expression over the whole path.
LEFT_OUT = {
    ("src/apps/**", "!src/apps/shopist/**"): r"src/apps/(?!shopist/).*",
    ("!src/apps/shopist/**", "src/apps/**"): r"src/apps/(?!shopist/).*",
    ("src/**", "!**/*.ts", "src/apps/other/app.ts"): r"src/(?!.*\.ts).*",
    ("!src/**",): r"(?!src/).*",
    ("!./src", "! /lib/"): r"(?!src/|lib/).*",
    ("src/apps/shopist", "!src/apps/shopist/deep"): r"src/apps/shopist/(?!deep/).*",
    ("\\:\\!odd/*".replace("\\:", ":"),): r":!odd/[^/]*",
}


@pytest.mark.parametrize("patterns", LEFT_OUT)
def test_what_a_pattern_with_an_exclamation_mark_matches_is_left_out(
    many_files: tuple[Mirror, Pair, dict[str, set[str]]], patterns: tuple[str, ...]
) -> None:
    mirror, pair, changes = many_files
    meaning = re.compile(LEFT_OUT[patterns])
    expected = {sha for sha, paths in changes.items() if any(meaning.fullmatch(path) for path in paths)}
    assert expected
    assert found(mirror, [pair], patterns) == {pair: expected}


SHARED = ("libs/shared/**", "libs/shared/", "libs/shared", "libs/shared/**/*", "libs/**", "libs/*/**", "**/shared/**")


@pytest.mark.parametrize("pattern", [*SHARED, "libs/shared/*", "libs/sha/**", "libs/other/**", "!libs/shared/**"])
def test_a_pattern_for_a_folder_means_a_submodule_of_that_name_too(tmp_path: Path, pattern: str) -> None:
    history = History()
    history.commit(files={"README": "1"})
    remote = tmp_path / "remote.git"
    shas = history.write(remote, {"main": 1})
    moves = [shas[1]]
    for number in range(1, 4):
        git(remote, "read-tree", moves[-1])
        git(remote, "update-index", "--add", "--cacheinfo", f"160000,{str(number) * 40},libs/shared")
        tree = git(remote, "write-tree")
        person = ("-c", "user.name=A", "-c", "user.email=a@example.invalid")
        moves.append(git(remote, *person, "commit-tree", tree, "-p", moves[-1], "-m", "move"))
    git(remote, "update-ref", "refs/heads/main", moves[-1])
    mirror = Mirror(tmp_path / "git", "example.com/org/app", str(remote))
    mirror.fetch()
    pair = (moves[0], moves[-1])
    assert found(mirror, [pair], [pattern]) == ({pair: set(moves[1:])} if pattern in SHARED else {})
    assert has_files(mirror, [pattern]) == (pattern in SHARED or pattern.startswith("!"))


def test_a_file_of_the_name_of_a_folder_is_not_in_it(tmp_path: Path) -> None:
    history = History()
    history.commit(files={"README": "1"})
    history.commit(1, committed=60, files={"libs/shared": "1"})
    mirror, shas = mirrored(history, tmp_path, {"main": 2})
    assert found(mirror, [(shas[1], shas[2])], ["libs/shared/**", "libs/*/**"]) == {}
    assert not has_files(mirror, ["libs/shared/**"])


def test_a_commit_counts_once_whatever_number_of_patterns_it_matches(
    many_files: tuple[Mirror, Pair, dict[str, set[str]]],
) -> None:
    mirror, pair, changes = many_files
    expected = {sha for sha, paths in changes.items() if {"README.md", "src/main.py"} & paths}
    assert found(mirror, [pair], ["README.md", "src/main.py", "src/main*"]) == {pair: expected}
    assert found(mirror, [pair], [])[pair] == set(changes)


@pytest.mark.parametrize("pattern", ["", " ", "/", "!", "../other", "a/../b", "a/./b", "a\nb", "a\0b"])
def test_a_pattern_that_cannot_match_is_an_error(tmp_path: Path, pattern: str) -> None:
    history = History()
    mirror, shas = mirrored(history, tmp_path, {"main": history.commit()})
    with pytest.raises(RepositoryError, match="is not a source pattern"):
        range_commits(mirror, [(shas[1], shas[1])], [pattern])


def test_a_damaged_mirror_is_an_error_that_names_it(tmp_path: Path) -> None:
    history = History()
    head = history.commit(history.commit(), committed=60)
    mirror, shas = mirrored(history, tmp_path, {"main": head})
    (mirror.path / "config").write_text("[core]\n\trepositoryformatversion = 99\n")
    with pytest.raises(RepositoryError, match=str(mirror.path)):
        range_commits(mirror, [(shas[1], shas[head])], [])
