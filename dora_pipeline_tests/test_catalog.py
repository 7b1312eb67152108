"""The service catalog: Datadog service definitions in, services out."""

import json
from pathlib import Path

import pytest

from dora_pipeline.catalog import Catalog, Service, read_catalog
from dora_pipeline.config import Home
from dora_pipeline.errors import ConfigError
from dora_pipeline.tables import Services

V2_2 = """
schema-version: v2.2
dd-service: shopist
team: " e-commerce "
application: shop
tier: "1"
lifecycle: production
type: web
contacts: [{type: slack, contact: https://org.slack.com/archives/C1}]
languages: [go, c++]
tags: ["cost:retail", "pci:yes"]
links:
  - {name: Runbook, type: runbook, url: https://wiki/shopist}
  - {name: shopist, type: repo, provider: github, url: https://github.com/organization/example-repository/tree/main/src/apps/shopist}
integrations:
  pagerduty: {service-url: https://org.pagerduty.com/service-directory/PSHOP}
  opsgenie: {service-url: https://org.opsgenie.com/service/1, region: US}
ci-pipeline-fingerprints: [a1]
extensions: {"myorg.com/x": {owner: 1}}
"""

V3 = """
apiVersion: v3
kind: service
metadata:
  name: web-store
  displayName: Web Store
  namespace: default
  inheritFrom: application:default/shop
  owner: storefront
  additionalOwners: [{name: sre, type: operator}]
  tags: ["cost:retail"]
  links:
    - {name: Source, type: repo, provider: gitlab, url: https://gitlab.com/org/store}
  contacts: [{name: Mail, type: email, contact: a@b.c}]
spec: {lifecycle: production, tier: "1", type: web, languages: [python], dependsOn: ["service:shopist"]}
integrations:
  pagerduty: {serviceURL: https://org.pagerduty.com/service-directory/PSTORE}
  opsgenie: {serviceURL: https://org.opsgenie.com/service/1, region: US}
datadog: {performanceData: {tags: ["service:web-store"]}, codeLocations: [{repositoryURL: x, paths: [y]}]}
extensions: {"datadoghq.com/dora-metrics": {source_patterns: ["src/store/**", "libs/**"]}}
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "services").mkdir()
    return Home(tmp_path)


def catalog_of(home: Home, text: str) -> Catalog:
    (home.services / "all.yaml").write_text(text, encoding="utf-8")
    return read_catalog(home)


def mistakes_of(home: Home, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        catalog_of(home, text)
    return str(caught.value).replace(f"{home.services / 'all.yaml'}", "FILE").splitlines()


def service_with(home: Home, lines: str) -> Service:
    return catalog_of(home, f"schema-version: v2.2\ndd-service: app\n{lines}").services["app"]


def service_with_link(home: Home, url: str) -> Service:
    return service_with(home, f"links: [{{name: Source, type: repo, url: '{url}'}}]")


# Schemas


def test_a_definition_of_schema_v2_2_is_read(home: Home) -> None:
    assert catalog_of(home, V2_2).services == {
        "shopist": Service(
            name="shopist",
            team="e-commerce",
            repository_id="github.com/organization/example-repository",
            repository_url="https://github.com/organization/example-repository",
            source_patterns=("src/apps/shopist/**",),
            languages=("go", "c++"),
            tags=("cost:retail", "pci:yes"),
            pagerduty_service_url="https://org.pagerduty.com/service-directory/PSHOP",
            defined_in="services/all.yaml",
            browsed=("main", "src", "apps", "shopist"),
        )
    }


def test_a_definition_of_schema_v3_is_read(home: Home) -> None:
    assert catalog_of(home, V3).services == {
        "web-store": Service(
            name="web-store",
            team="storefront",
            repository_id="gitlab.com/org/store",
            repository_url="https://gitlab.com/org/store",
            source_patterns=("src/store/**", "libs/**"),
            languages=("python",),
            tags=("cost:retail",),
            pagerduty_service_url="https://org.pagerduty.com/service-directory/PSTORE",
            defined_in="services/all.yaml",
        )
    }


def test_definitions_of_schema_v2_and_v2_1_are_read(home: Home) -> None:
    services = catalog_of(
        home,
        """
schema-version: v2
dd-service: old
team: elders
dd-team: elders-handle
repos: [{name: old, provider: Github, url: https://github.com/org/old}]
docs: [{name: d, url: https://d}]
integrations: {pagerduty: https://org.pagerduty.com/service-directory/POLD}
---
schema-version: v2.1
dd-service: newer
links: [{name: code, type: repo, url: https://github.com/org/newer}]
integrations: {pagerduty: {service-url: https://org.pagerduty.com/service-directory/PNEW}}
""",
    ).services
    assert services["old"].repository_id == "github.com/org/old"
    assert services["old"].pagerduty_service_url == "https://org.pagerduty.com/service-directory/POLD"
    assert services["newer"].repository_id == "github.com/org/newer"
    assert services["newer"].pagerduty_service_url == "https://org.pagerduty.com/service-directory/PNEW"


@pytest.mark.parametrize(
    "text",
    [
        "schema-version: v2.2\ndd-service: app",
        "apiVersion: v3\nkind: service\nmetadata: {name: app}",
        "schema-version: v2.2\ndd-service: app\nteam:\nlinks:\ntags:\nlanguages:\nintegrations:\nextensions:\n",
        "apiVersion: v3\nkind: service\nspec:\nmetadata: {name: ' app ', owner: '', links: , tags: }",
    ],
)
def test_a_name_is_enough(home: Home, text: str) -> None:
    assert catalog_of(home, text).services["app"] == Service(
        "app", None, None, None, (), (), (), None, "services/all.yaml"
    )


def test_kinds_of_v3_other_than_service_and_empty_documents_are_left_alone(home: Home) -> None:
    text = "apiVersion: v3\nkind: datastore\nmetadata: {name: 7}\n---\n---\napiVersion: v3\nkind: my-kind\n---\n"
    assert catalog_of(home, text).services == {}


def test_files_of_sub_folders_are_read_and_hidden_ones_and_others_are_not(home: Home) -> None:
    (home.services / "team" / ".older").mkdir(parents=True)
    (home.services / "folder.yaml").mkdir()
    text = "schema-version: v2.2\ndd-service: {}"
    (home.services / "team" / "one.yml").write_text(text.format("one"))
    (home.services / "two.YAML").write_text("\ufeff" + text.format("two").replace("\n", "\r\n"))
    (home.services / "team" / ".older" / "one.yml").write_text(text.format("one"))
    (home.services / ".two.yaml").write_text(text.format("two"))
    (home.services / "notes.txt").write_text(": not yaml")
    assert {name: service.defined_in for name, service in read_catalog(home).services.items()} == {
        "one": "services/team/one.yml",
        "two": "services/two.YAML",
    }


def test_no_folder_means_no_services(tmp_path: Path) -> None:
    catalog = read_catalog(Home(tmp_path))
    assert catalog.services == {}
    assert catalog.repositories() == {}
    assert Services.validate(catalog.frame()).height == 0


# Repositories and patterns


@pytest.mark.parametrize(
    ("url", "repository", "pattern"),
    [
        ("https://github.com/org/app", "https://github.com/org/app", None),
        ("https://github.com/org/app.git", "https://github.com/org/app.git", None),
        ("https://github.com/org/app/tree/main", "https://github.com/org/app", None),
        ("https://github.com/org/app/tree/main/", "https://github.com/org/app", None),
        ("https://github.com/org/app/tree/main/src/x/", "https://github.com/org/app", "src/x/**"),
        ("https://github.com/org/app/tree/main/src/x?tab=readme#top", "https://github.com/org/app", "src/x/**"),
        ("https://github.com/org/app/tree/feature%2Fy/src/x", "https://github.com/org/app", "src/x/**"),
        ("https://github.com/org/app/tree/feature/y/src/x", "https://github.com/org/app", "y/src/x/**"),
        ("https://github.com/org/app/tree/main/my%20src/%5Bid%5D", "https://github.com/org/app", "my src/[[]id]/**"),
        ("https://github.com/org/app/blob/main/README.md", "https://github.com/org/app", None),
        ("https://git.corp:8443/org/app/tree/main/src", "https://git.corp:8443/org/app", "src/**"),
        ("https://gitlab.com/org/app/-/tree/main/src/x?ref_type=heads", "https://gitlab.com/org/app", "src/x/**"),
        ("https://gitlab.com/a/b/c/app/-/tree/main/src", "https://gitlab.com/a/b/c/app", "src/**"),
        ("https://gitlab.com/org/group/src/app", "https://gitlab.com/org/group/src/app", None),
        ("https://gitlab.com/org/app/-/blob/main/README.md", "https://gitlab.com/org/app", None),
        ("https://bitbucket.org/org/app/src/main/src/x", "https://bitbucket.org/org/app", "src/x/**"),
        ("https://bitbucket.org/org/app/src/main/", "https://bitbucket.org/org/app", None),
        ("https://dev.azure.com/o/p/_git/app?path=/src/x", "https://dev.azure.com/o/p/_git/app", "src/x/**"),
        (
            "https://dev.azure.com/o/p/_git/app?version=GBmain&path=%2Fsrc%2Fx&_a=contents",
            "https://dev.azure.com/o/p/_git/app",
            "src/x/**",
        ),
        ("https://dev.azure.com/o/p/_git/app?path=/", "https://dev.azure.com/o/p/_git/app", None),
        ("git@github.com:org/app.git", "git@github.com:org/app.git", None),
        ("ssh://git@git.corp:7999/org/app.git", "ssh://git@git.corp:7999/org/app.git", None),
        ("/srv/git/app.git", "/srv/git/app.git", None),
    ],
)
def test_a_link_gives_the_repository_and_the_folder(home: Home, url: str, repository: str, pattern: str | None) -> None:
    service = service_with_link(home, url)
    assert service.repository_url == repository
    assert service.source_patterns == ((pattern,) if pattern else ())


@pytest.mark.parametrize(
    ("url", "refs", "patterns"),
    [
        ("https://github.com/org/app/tree/release/1.0/apps/a", ["main", "release/1.0"], ("apps/a/**",)),
        ("https://github.com/org/app/tree/release/1.0/apps/a", ["main"], ("1.0/apps/a/**",)),
        ("https://github.com/org/app/tree/release/1.0", ["release/1.0"], ()),
        ("https://github.com/org/app/tree/release/1.0", ["release"], ("1.0/**",)),
        ("https://github.com/org/app/tree/feature%2Fy/src", ["feature/y"], ("src/**",)),
        ("https://github.com/org/app/tree/v1/apps/[a]", ["v1"], ("apps/[[]a]/**",)),
        ("https://gitlab.com/g/app/-/tree/release/1.0/apps/a?ref_type=heads", ["release/1.0"], ("apps/a/**",)),
        ("https://bitbucket.org/o/app/src/release/1.0/apps/a", ["release/1.0"], ("apps/a/**",)),
    ],
)
def test_where_the_branch_of_a_link_ends_is_told_by_the_branches_and_tags(
    home: Home, url: str, refs: list[str], patterns: tuple[str, ...]
) -> None:
    service_with_link(home, url)
    assert read_catalog(home).with_refs(lambda service: refs).services["app"].source_patterns == patterns


@pytest.mark.parametrize(
    ("locations", "repository", "patterns"),
    [
        (
            "{repositoryURL: https://github.com/Org/app.git, paths: [apps/a/**, '!apps/a/docs/**']}",
            "github.com/org/app",
            ("apps/a/**", "!apps/a/docs/**"),
        ),
        ("{repositoryURL: https://github.com/org/app}", "github.com/org/app", ()),
        ("{repositoryURL: https://github.com/org/app, paths: }", "github.com/org/app", ()),
        ("{repositoryURL: https://github.com/org/app/tree/main/src}", "github.com/org/app", ("src/**",)),
        (
            "{repositoryURL: https://github.com/org/app, paths: [a/**]}, {repositoryURL: https://h/o/b, paths: [c]}, "
            "{repositoryURL: git@github.com:org/app.git, paths: [b/**, a/**]}",
            "github.com/org/app",
            ("a/**", "b/**"),
        ),
        (
            "{repositoryURL: https://github.com/org/app, paths: [a/**]}, {repositoryURL: https://github.com/org/app}",
            "github.com/org/app",
            (),
        ),
    ],
)
def test_without_a_link_the_first_code_location_of_v3_names_repository_and_patterns(
    home: Home, locations: str, repository: str, patterns: tuple[str, ...]
) -> None:
    text = "apiVersion: v3\nkind: service\nmetadata: {{name: app}}\ndatadog: {{codeLocations: [{}]}}\n"
    service = catalog_of(home, text.format(locations)).services["app"]
    assert (service.repository_id, service.source_patterns) == (repository, patterns)
    extension = "extensions: {datadoghq.com/dora-metrics: {source_patterns: [only/**]}}"
    assert catalog_of(home, text.format(locations) + extension).services["app"].source_patterns == ("only/**",)


def test_a_code_location_that_is_no_repository_is_a_mistake(home: Home) -> None:
    text = "apiVersion: v3\nkind: service\nmetadata: {name: app}\ndatadog: {codeLocations: [{repositoryURL: x}]}\n"
    assert mistakes_of(home, text) == [
        "FILE, document 1: datadog.codeLocations: a repositoryURL is not that of a repository, such as "
        "https://host/org/app"
    ]


@pytest.mark.parametrize(
    "pattern", ["!", "! ", "!!a/**", "/", "../other", "a/../b", "!a/./b", "apps\\a\\**", "a\\", "a/[b", "a\tb"]
)
def test_a_pattern_that_cannot_match_is_a_mistake_that_names_its_place(home: Home, pattern: str) -> None:
    (home.services / "a.yaml").write_text(
        json.dumps(
            {
                "schema-version": "v2.2",
                "dd-service": "app",
                "extensions": {"datadoghq.com/dora-metrics": {"source_patterns": ["ok/**", pattern]}},
            }
        )
    )
    with pytest.raises(ConfigError, match=r"a\.yaml, document 1: .*source_patterns\.1: .* is not a source pattern"):
        read_catalog(home)


@pytest.mark.parametrize(
    ("links", "repository"),
    [
        ("{name: a, type: repo, url: https://h/o/a}, {name: Source, type: repo, url: https://h/o/b}", "h/o/b"),
        ("{name: a, type: repo, url: https://h/o/a}, {name: app, type: repo, url: https://h/o/b}", "h/o/b"),
        ("{name: a, type: repo, url: https://h/o/a}, {name: App, type: Repo, url: https://h/o/b}", "h/o/a"),
        ("{name: Source, type: doc, url: https://h/o/a}, {name: b, type: repo, url: https://h/o/b}", "h/o/b"),
        ("{name: Source, url: https://h/o/a}", None),
    ],
)
def test_the_repository_is_the_link_named_source_or_like_the_service_else_the_first(
    home: Home, links: str, repository: str | None
) -> None:
    assert service_with(home, f"links: [{links}]").repository_id == repository


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [('["libs/**", " a/* "]', ("libs/**", "a/*")), ('["**"]', ("**",)), ("[]", ()), ("", ("src/x/**",))],
)
def test_patterns_of_the_extension_replace_those_of_the_link(
    home: Home, patterns: str, expected: tuple[str, ...]
) -> None:
    service = service_with(
        home,
        "links: [{name: Source, type: repo, url: https://github.com/org/app/tree/main/src/x}]\n"
        f"extensions: {{datadoghq.com/dora-metrics: {{source_patterns: {patterns}}}}}",
    )
    assert service.source_patterns == expected


def test_the_frame_is_sorted_and_holds_no_credentials(home: Home) -> None:
    link = "links: [{name: Source, type: repo, url: 'https://user:hunter2@github.com/Org/App/tree/main/src'}]"
    catalog = catalog_of(
        home,
        "schema-version: v2.2\ndd-service: zebra\n---\n"
        f"schema-version: v2.2\ndd-service: app\nteam: t\ntags: [b, a]\n{link}",
    )
    assert Services.validate(catalog.frame()).rows() == [
        ("app", "t", "github.com/org/app", ["src/**"], [], ["b", "a"]),
        ("zebra", None, None, [], [], []),
    ]
    assert "hunter2" not in repr(catalog)
    assert catalog.repositories() == {"github.com/org/app": "https://user:hunter2@github.com/Org/App"}


def test_two_services_of_one_repository_give_one_clone_url_that_of_the_first_by_name(home: Home) -> None:
    text = "schema-version: v2.2\ndd-service: {}\nlinks: [{{name: Source, type: repo, url: '{}'}}]\n---\n"
    catalog = catalog_of(home, text.format("b", "git@h:o/app.git") + text.format("a", "https://h/o/app"))
    assert catalog.repositories() == {"h/o/app": "https://h/o/app"}


# Mistakes


def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for target in ("services", "not-mounted", "dora.yaml/services"):
        home.services.symlink_to(target)
        with pytest.raises(ConfigError, match=r"services: cannot be read: .*; check the folder's owner and mode"):
            read_catalog(home)
        home.services.unlink()


def test_a_link_to_a_folder_of_definitions_is_named(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.services.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (home.services / "team").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"services/team: is a link to a folder, which no run follows; move"):
        read_catalog(home)


def test_every_mistake_of_every_file_is_in_one_error(home: Home) -> None:
    (home.services / "a.yaml").write_text("schema-version: v2.2\ndd-service: app\nteam: 7\ntags: {env: prod}\n")
    (home.services / "b.yaml").write_text("dd-service: [\n")
    (home.services / "c.yaml").write_bytes(b"dd-service: caf\xe9\n")
    (home.services / "d.yaml").write_text(
        "apiVersion: v3\nkind: service\nmetadata: {owner: t, links: {a: b}}\nspec: {languages: go}\n"
        "---\nschema-version: v1\n---\napiVersion: v4\n---\nschema-version: 2.2\n---\nname: x\n---\n- x\n"
        "---\napiVersion: v3\n---\nschema-version: v2.2\ndd-service: ' '\n"
        "extensions: {datadoghq.com/dora-metrics: {source_patterns: src}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_catalog(home)
    lines = str(caught.value).replace(f"{home.services}/", "").splitlines()
    beginnings = [
        "15 mistakes:",
        "a.yaml, document 1: team: must be text",
        "a.yaml, document 1: tags: must be a list",
        "b.yaml, line 2: not valid YAML: ",
        "c.yaml: is not UTF-8 text (byte 15)",
        "d.yaml, document 1: metadata.name: is missing",
        "d.yaml, document 1: metadata.links: ",
        "d.yaml, document 1: spec.languages: ",
        "d.yaml, document 2: schema-version: 'v1' is not known; write v2.2, or apiVersion: v3",
        "d.yaml, document 3: apiVersion: 'v4' is not known; write v3",
        "d.yaml, document 4: schema-version: 2.2 is not known",
        "d.yaml, document 5: has neither schema-version (v2.2) nor apiVersion (v3)",
        "d.yaml, document 6: must be a service definition (key: value), not list",
        "d.yaml, document 7: kind: must be text",
        "d.yaml, document 8: extensions.datadoghq.com/dora-metrics.source_patterns: must be a list",
        "d.yaml, document 8: dd-service: must not be blank",
    ]
    assert len(lines) == len(beginnings)
    assert [line for line, beginning in zip(lines, beginnings, strict=True) if not line.startswith(beginning)] == []


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("team: [a]", "team"),
        ("languages: [1]", "languages.0"),
        ("tags: ['']", "tags.0"),
        ("tags: [{env: prod}]", "tags.0"),
        ("links: [text]", "links.0"),
        ("links: [{name: 1, type: repo, url: https://h/o/a}]", "links.0.name"),
        ("links: [{name: a, type: repo, url: [x]}]", "links.0.url"),
        ("integrations: []", "integrations"),
        ("integrations: {pagerduty: 7}", "integrations.pagerduty"),
        ("integrations: {pagerduty: {service-url: 7}}", "integrations.pagerduty.service-url"),
        ("extensions: text", "extensions"),
        ("extensions: {datadoghq.com/dora-metrics: []}", "extensions.datadoghq.com/dora-metrics"),
        (
            "extensions: {datadoghq.com/dora-metrics: {source_patterns: [a, '']}}",
            "extensions.datadoghq.com/dora-metrics.source_patterns.1",
        ),
    ],
)
def test_a_wrong_type_is_told_with_its_key(home: Home, lines: str, key: str) -> None:
    [mistake] = mistakes_of(home, f"schema-version: v2.2\ndd-service: app\n{lines}")
    assert mistake.startswith(f"FILE, document 1: {key}: ")


def test_a_wrong_pagerduty_url_of_v3_is_told_with_its_key(home: Home) -> None:
    text = "apiVersion: v3\nkind: service\nmetadata: {name: app}\nintegrations: {pagerduty: {serviceURL: 7}}"
    [mistake] = mistakes_of(home, text)
    assert mistake.startswith("FILE, document 1: integrations.pagerduty.serviceURL: ")


@pytest.mark.parametrize("url", ["", "github.com", "https://user:hunter2@github.com", "https://user:hun#ter2@h/o/app"])
def test_a_link_that_is_no_repository_is_told_without_its_url(home: Home, url: str) -> None:
    [mistake] = mistakes_of(
        home, f"schema-version: v2.2\ndd-service: app\nlinks: [{{name: code, type: repo, url: '{url}'}}]"
    )
    assert mistake == (
        "FILE, document 1: links: the url of 'code' is not that of a repository, such as https://host/org/app"
    )


def test_a_service_defined_twice_is_told_with_both_places(home: Home) -> None:
    text = "schema-version: v2.2\ndd-service: app\n"
    (home.services / "a.yaml").write_text(text)
    (home.services / "b.yaml").write_text(f"---\n---\n{text}")
    with pytest.raises(ConfigError) as caught:
        read_catalog(home)
    assert str(caught.value).replace(f"{home.services}/", "") == (
        "b.yaml, document 2: the service 'app' is defined in a.yaml, document 1 already"
    )


def test_a_pattern_without_quotes_is_told_with_what_to_do(home: Home) -> None:
    text = "schema-version: v2.2\ndd-service: app\nextensions:\n  datadoghq.com/dora-metrics:\n    source_patterns:\n"
    [mistake] = mistakes_of(home, text + "      - **\n")
    assert mistake.startswith("FILE, line 6: not valid YAML: ")
    assert mistake.endswith("; put text that begins with * in quotes")
