"""What is expected of each table."""

from collections.abc import Mapping

from dora_pipeline.pipeline import findings
from dora_pipeline.pipeline.expectation import Expectation
from dora_pipeline.tables import (
    ApmVersionActivity,
    Daily,
    DeploymentCommits,
    Deployments,
    FailedChanges,
    FailureLinks,
    Failures,
    RejectedEvents,
    Services,
    SourceSelections,
    Table,
)
from dora_pipeline.warehouse.checks import accounts, repeated_keys

_KEYS = Expectation(
    "No two rows have the same key.",
    "a fault of the pipeline; rebuild with `dora run --rebuild`",
    "keys that stand more than once",
    "{key} ({times} times)",
    lambda connection, table, settings: repeated_keys(connection, table),
    kind="fails",
)
_TYPES = Expectation(
    "Both event types have a source that is selected now.",
    "select one with `dora select deployments SOURCE…` or `dora select failures SOURCE…`; until then what is made from "
    "both, as the change failure rate, has no value",
    "event types without a selected source",
    "{event_type}s",
    findings.query("types_selected"),
)
_SELECTED = Expectation(
    "No event counts before its source was first selected.",
    "load its day again with `dora run --from --to`",
    "events that count too early",
    "{event_id} of {source}",
    findings.query("before_first_selection"),
    kind="fails",
)
_RECOUNT = Expectation(
    "Counts and rates equal a recount of core.",
    "load the days again with `dora run --from --to`",
    "days whose figures differ from a recount",
    "{day}",
    findings.query("recount"),
    kind="fails",
)
_LOADED = Expectation(
    "Every day shows what has been read.",
    "`dora run` loads them; one that it refuses says why",
    "days that have changed and are not loaded",
    "{day} of {tables}",
    findings.query("days_loaded"),
)
_REJECTED = Expectation(
    "Of each source, no larger share of events is rejected than rejected_share allows, over all days and "
    "over the last 30.",
    "look at reason and payload in core.rejected_events, which tell the record and its place, and mend the sender; "
    "same_second of sightings in buckets of time, where versions came to several environments within one: export one "
    "environment, or shorter buckets",
    "rejected events",
    "{source} {reason} ({rejected:,}, {share:.1%}, {period})",
    findings.rejected_shares,
)
_SOURCES = Expectation(
    "Every source selected now could be read and gave something within sources_stale_after.",
    "see that what feeds the source still runs; one that only has nothing to give may want a longer "
    "sources_stale_after; where all is older than the first selection, correct selected_at in source_selections.csv",
    "sources without news",
    "{source} ({finding})",
    findings.late_sources,
)
_SERVICES = Expectation(
    "Every service is in the catalog, if there is one.",
    "add a definition in services/, or correct the name at the sender; a service of PagerDuty is the one whose "
    "definition has its address in integrations, a component the one that sources.statuspage.components says; until "
    "then the service has no team and no repository but those that its events name",
    "services that the catalog does not know",
    "{service} ({events:event}{near})",
    findings.unknown_services,
)
_ENVIRONMENTS = Expectation(
    "Every environment is one of the setting environments, if that names any.",
    "correct the name at the sender, or add it there, as an environment or an alias of one; until then it counts apart",
    "environments that the settings do not know",
    "{env} ({events:event}{near})",
    findings.unknown_environments,
)
_APART = Expectation(
    "Where no setting names environments, no two have names that look like one, as prod and production do.",
    "if they are one, write that setting into dora.yaml, the name to keep before its aliases; if they are not, name "
    "each there, as in environments: {prod: [], production: []}; until then each has figures of its own, and failures "
    "of one meet no deployments of the other",
    "environments that look like one",
    "{envs} ({setting})",
    findings.environments_apart,
)
_COMMITS = Expectation(
    "No larger share of deployments lacks its commits than missing_commits_share allows, over all days and over the "
    "last 30.",
    "no_commit: send the commit with the deployment; no_repository and repository_not_configured: name the repository "
    "in services/ or in repositories; *_missing: see that the repository can be fetched and still has the commit; "
    "`dora run --from DAY` asks it again",
    "deployments that lack their commits",
    "{reason}{where} ({deployments:,}, {share:.0%}, {period})",
    findings.missing_commits,
)
_REPOSITORIES = Expectation(
    "Every repository that deployments name is configured.",
    "add it to repositories in dora.yaml, or to its service in services/; only then is it cloned",
    "repositories that are not configured",
    "{repository_id} ({deployments:deployment} without a lead time)",
    findings.query("repositories_configured"),
)
_PATTERNS = Expectation(
    "The source patterns of every service match a file of its repository.",
    "correct source_patterns, paths or the link of the service in services/; until then its deployments bring no "
    "commits",
    "services whose source patterns match no file",
    "{service} ({patterns} in {repository_id})",
    findings.query("patterns_matched"),
)
_CLOCKS = Expectation(
    "No event was received more than a minute before it happened.",
    "set the clock of the sender",
    "clocks that are fast",
    "{service} of {source} ({events:event}, up to {most_seconds_early:,.0f} s)",
    findings.early_events,
)
_NEGATIVE = Expectation(
    "At most 5 % of the commits of a service and environment were authored after they went live.",
    "see the clocks of those who commit and deploy; cherry-picks and amended commits are the other cause",
    "commits that are younger than their deployment",
    "{service} in {env} ({negative:,} of {commits:,})",
    findings.negative_lead_times,
)
_SQUASHED = Expectation(
    "Of each repository, at most 5 % of the squash commits lack the ref of their pull or merge request, over all days "
    "and over the last 30.",
    "see that the repository is the one whose requests they are, and that it offers refs/pull/*/head or "
    "refs/merge-requests/*/head; until then the squash commit counts in the place of the original ones, and lead times "
    "look shorter than they are",
    "squash commits that count themselves",
    "{repository_id} ({unexpanded:,} of {squash_merges:,}, {period})",
    findings.unexpanded_squash_merges,
)
_REDELIVERED = Expectation(
    "Says how many commits came that an earlier deployment of the service and environment had, as after rollbacks; no "
    "figure uses them.",
    "nothing is to be done",
    "commits that came again",
    "{service} in {env} ({redelivered:,} of {commits:,})",
    findings.query("delivered_once"),
    kind="passes",
)
_OPEN = Expectation(
    "No failure is open for more than 30 days.",
    "resolve it at its source, or take it back; open failures have no time to restore, so the medians look better than "
    "they are",
    "failures that are open for long",
    "{failure_id} of {service} ({open_days:,.0f} days)",
    findings.long_open_failures,
)
_LINKS = Expectation(
    "No larger share of failures is linked to no deployment than unlinked_share allows, over all days and over the "
    "last 30.",
    "no_service and unknown_service: name a service that is deployed, or define it in services/; no_deployment: see "
    "that its deployments are sent, and with the same env; too_long_ago: send version, commit or a tag "
    "deployment_id:<id> with the failure, or set a longer link_window",
    "failures that are linked to no deployment",
    "{reason} ({failures:,}, {share:.0%}, {period})",
    findings.unlinked_failures,
)
_ENVS = Expectation(
    "Where deployments have an environment, every failure has one.",
    "send it with the failure, or set env of its source in dora.yaml; until then rates over failures of these "
    "services, of their teams and of all are not known for an environment on the days of these failures, nor linked "
    "failure rates on those of the deployments that they may be of",
    "services whose failures have no environment",
    "{service} ({failures:failure}; set sources.{source}.env)",
    findings.query("failures_with_env"),
)
_VIEWS = Expectation(
    "How failed changes and linked failures disagree, by service; a figure, which never warns.",
    "see metrics.deployment_outcomes",
    "services of which the two views disagree",
    "{service} in {env} ({failure_only:,} with failures alone, {change_only:failed change} alone)",
    findings.query("views_agree"),
    kind="passes",
)
_FILES = Expectation(
    "Every file in the folder of exports is read, but for hidden files, README and temporary ones.",
    "give it an ending that fits what it holds, or move it away",
    "files that are left out",
    "{name}: {reason}",
    findings.query("files_read"),
)
_USABLE = Expectation(
    "Of every export something can be taken.",
    "export it again, whole and with these columns, or move it away; until then only what it told before counts",
    "exports of which nothing can be taken",
    "{name}: {reason}",
    findings.query("exports_usable"),
)
_FOUND = Expectation(
    "The folder of exports is there and holds some, if the source is selected and is not pulled.",
    "correct the setting sources.apm_deployment_tracking.path, or drop exports into the folder",
    "folders without exports",
    "{name}: {reason}",
    findings.query("exports_found"),
)
_DEFINITIONS = Expectation(
    "Every service definition lies in services/.",
    "move it there, or copy it where it is of a repository; until then its services have no team and no repository",
    "service definitions that are not read",
    "{name}: {reason}",
    findings.query("definitions_read"),
)
_ACCOUNTS = Expectation(
    "Of each source, what was read is here, rejected, or from before its first selection.",
    "a fault of the pipeline; rebuild with `dora run --rebuild`",
    "figures that do not add up",
    "{measure} of {source} ({expected:,} expected, {found:,} found, from {first_day} on)",
    lambda connection, table, settings: accounts(connection, table),
    kind="fails",
)
_RULES = Expectation(
    "Every rule that stands in change_failure_rules matches something.",
    "correct `matches` or `field` of the rule in dora.yaml; it is looked for anywhere in the text, and sees capitals",
    "rules that match nothing",
    "{name}: {matches} in {field}",
    findings.idle_rules,
)
EXPECTATIONS: Mapping[type[Table], Mapping[str, Expectation]] = {
    SourceSelections: {"types_selected": _TYPES},
    Services: {"definitions_read": _DEFINITIONS},
    ApmVersionActivity: {
        "files_read": _FILES,
        "exports_usable": _USABLE,
        "exports_found": _FOUND,
        "loads_add_up": _ACCOUNTS,
    },
    Deployments: {
        "keys_unique": _KEYS,
        "loads_add_up": _ACCOUNTS,
        "nothing_before_first_selection": _SELECTED,
        "sources_fresh": _SOURCES,
        "services_known": _SERVICES,
        "environments_known": _ENVIRONMENTS,
        "repositories_configured": _REPOSITORIES,
        "commits_known": _COMMITS,
        "patterns_matched": _PATTERNS,
        "clocks_agree": _CLOCKS,
    },
    DeploymentCommits: {
        "keys_unique": _KEYS,
        "lead_times_not_negative": _NEGATIVE,
        "squash_merges_expanded": _SQUASHED,
        "delivered_once": _REDELIVERED,
    },
    Failures: {
        "keys_unique": _KEYS,
        "loads_add_up": _ACCOUNTS,
        "nothing_before_first_selection": _SELECTED,
        "sources_fresh": _SOURCES,
        "services_known": _SERVICES,
        "environments_known": _ENVIRONMENTS,
        "clocks_agree": _CLOCKS,
        "nothing_open_for_long": _OPEN,
        "failures_with_env": _ENVS,
    },
    FailureLinks: {"keys_unique": _KEYS, "loads_add_up": _ACCOUNTS, "failures_linked": _LINKS},
    FailedChanges: {"keys_unique": _KEYS, "rules_match": _RULES, "views_agree": _VIEWS},
    RejectedEvents: {"rejected_share": _REJECTED, "loads_add_up": _ACCOUNTS},
    Daily: {
        "keys_unique": _KEYS,
        "rates_equal_recount": _RECOUNT,
        "days_loaded": _LOADED,
        "environments_apart": _APART,
    },
}
