-- metrics.measures: everything that is counted, one row each. Every figure anywhere is a grouping of it. What a deployment
-- brought, and what became of it, bears its day, names and tags; a failure stands once for each impacted service, and its
-- restore on a day of its own.
SELECT
    'deployment' AS measure, d.lead_time_mean_seconds AS seconds, d.day, d.service, d.env, d.team, d.repository_id, d.source,
    CAST(NULL AS VARCHAR) AS severity, d.custom_tags AS tags, d.deployment_id AS event_id, d.finished_at AS occurred_at
FROM ({metrics.counted_deployments}) AS d
UNION ALL
SELECT
    'commit' AS measure, c.lead_time_seconds AS seconds, d.day, d.service, d.env, d.team, d.repository_id, d.source,
    CAST(NULL AS VARCHAR) AS severity, d.custom_tags AS tags, d.deployment_id AS event_id, d.finished_at AS occurred_at
FROM core.deployment_commits AS c
INNER JOIN ({metrics.counted_deployments}) AS d ON c.deployment_id = d.deployment_id AND c.day = d.day
WHERE c.lead_time_seconds IS NOT NULL AND NOT c.is_redelivery
UNION ALL
SELECT
    'failed_change' AS measure, CAST(NULL AS DOUBLE) AS seconds, d.day, d.service, d.env, d.team, d.repository_id, d.source,
    CAST(NULL AS VARCHAR) AS severity, d.custom_tags AS tags, d.deployment_id AS event_id, d.finished_at AS occurred_at
FROM core.failed_changes AS x
INNER JOIN ({metrics.counted_deployments}) AS d ON x.deployment_id = d.deployment_id AND x.day = d.day
UNION ALL
SELECT
    'recovery' AS measure, x.recovery_seconds AS seconds, d.day, d.service, d.env, d.team, d.repository_id, d.source,
    CAST(NULL AS VARCHAR) AS severity, d.custom_tags AS tags, d.deployment_id AS event_id, d.finished_at AS occurred_at
FROM core.failed_changes AS x
INNER JOIN ({metrics.counted_deployments}) AS d ON x.deployment_id = d.deployment_id AND x.day = d.day
WHERE x.recovery_seconds IS NOT NULL
UNION ALL
SELECT
    'rework' AS measure, CAST(NULL AS DOUBLE) AS seconds, d.day, d.service, d.env, d.team, d.repository_id, d.source,
    CAST(NULL AS VARCHAR) AS severity, d.custom_tags AS tags, d.deployment_id AS event_id, d.finished_at AS occurred_at
FROM ({metrics.counted_deployments}) AS d
WHERE d.deployment_id IN (
    SELECT x.remediation_id FROM core.failed_changes AS x WHERE x.is_selected AND x.recovery_seconds IS NOT NULL
)
UNION ALL
SELECT
    'linked_failure' AS measure, CAST(NULL AS DOUBLE) AS seconds, d.day, d.service, d.env, d.team, d.repository_id, d.source,
    CAST(NULL AS VARCHAR) AS severity, d.custom_tags AS tags, d.deployment_id AS event_id, d.finished_at AS occurred_at
FROM ({metrics.counted_deployments}) AS d
WHERE d.deployment_id IN (SELECT l.deployment_id FROM core.failure_links AS l WHERE l.is_selected)
UNION ALL
SELECT
    'possible_link' AS measure, CAST(NULL AS DOUBLE) AS seconds, d.day, d.service, d.env, d.team, d.repository_id, d.source,
    CAST(NULL AS VARCHAR) AS severity, d.custom_tags AS tags, d.deployment_id AS event_id, d.finished_at AS occurred_at
FROM ({metrics.counted_deployments}) AS d
WHERE d.deployment_id IN (SELECT l.deployment_id FROM ({metrics.possible_links}) AS l)
UNION ALL
SELECT
    'failure' AS measure, CAST(NULL AS DOUBLE) AS seconds, f.day, f.service, f.env, f.team, f.repository_id, f.source,
    f.severity, f.custom_tags AS tags, f.failure_id AS event_id, f.started_at AS occurred_at
FROM core.failures AS f
WHERE f.is_selected
UNION ALL
SELECT
    'restore' AS measure, f.time_to_restore_seconds AS seconds, f.restored_day AS day, f.service, f.env, f.team,
    f.repository_id, f.source, f.severity, f.custom_tags AS tags, f.failure_id AS event_id, f.finished_at AS occurred_at
FROM core.failures AS f
WHERE f.is_selected AND f.time_to_restore_seconds IS NOT NULL
