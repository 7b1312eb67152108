-- The events of each figure of metrics.daily, those that it is made of and those that are left out. Why one is left out
-- is its left_out; lacking is what a figure needs that one has not, which counts only where nothing else leaves it out.
WITH sources AS (
    {core.first_selections}
),
deployments AS NOT MATERIALIZED (
    SELECT
        'deployment' AS event_type, d.deployment_id AS event_id, d.source, d.service, d.env, d.team, d.repository_id,
        CAST(NULL AS VARCHAR) AS severity, d.custom_tags AS tags, d.day, d.finished_at AS occurred_at,
        d.lead_time_mean_seconds, d.lead_time_reason,
        CASE WHEN NOT d.is_selected THEN 'not_selected' WHEN d.duplicate_of IS NOT NULL THEN 'duplicate' END AS left_out,
        CONCAT_WS(', ', 'version ' || d.version, 'commit ' || d.commit_sha, 'duplicate of ' || d.duplicate_of) AS details
    FROM core.deployments AS d
),
failures AS NOT MATERIALIZED (
    SELECT
        'failure' AS event_type, f.failure_id AS event_id, f.source, f.service, f.env, f.team, f.repository_id, f.severity,
        f.custom_tags AS tags, f.day, f.started_at AS occurred_at, f.restored_day, f.finished_at, f.time_to_restore_seconds,
        CASE WHEN NOT f.is_selected THEN 'not_selected' END AS left_out,
        l.reason AS unlinked,
        CONCAT_WS(
            ', ', f.name, 'severity ' || f.severity, 'linked to ' || l.deployment_id || ' by ' || l.rule, f.url
        ) AS details
    FROM core.failures AS f
    LEFT JOIN core.failure_links AS l
        ON f.failure_id = l.failure_id AND f.service IS NOT DISTINCT FROM l.service AND f.day = l.day
)
SELECT
    'deployments' AS figure, d.left_out, CAST(NULL AS VARCHAR) AS lacking, d.event_type, d.event_id, d.source, d.service,
    d.env, d.team, d.repository_id, d.severity, d.tags, d.day, d.occurred_at, CAST(NULL AS DOUBLE) AS seconds, d.details
FROM deployments AS d
UNION ALL
SELECT
    'lead_time_deployments', d.left_out, d.lead_time_reason, d.event_type, d.event_id, d.source, d.service,
    d.env, d.team, d.repository_id, d.severity, d.tags, d.day, d.occurred_at, d.lead_time_mean_seconds, d.details
FROM deployments AS d
UNION ALL
SELECT
    'lead_time_commits', d.left_out,
    CASE WHEN c.is_redelivery THEN 'redelivery' WHEN c.lead_time_seconds IS NULL THEN 'no_author_time' END,
    d.event_type, d.event_id, d.source, d.service,
    d.env, d.team, d.repository_id, d.severity, d.tags, d.day, d.occurred_at, c.lead_time_seconds,
    CONCAT_WS(', ', 'commit ' || c.commit_sha, 'landed as ' || c.landed_as_sha, NULLIF(c.subject, ''))
FROM deployments AS d
INNER JOIN core.deployment_commits AS c ON d.event_id = c.deployment_id AND d.day = c.day
UNION ALL
SELECT
    'failures', f.left_out, CAST(NULL AS VARCHAR), f.event_type, f.event_id, f.source, f.service,
    f.env, f.team, f.repository_id, f.severity, f.tags, f.day, f.occurred_at, CAST(NULL AS DOUBLE), f.details
FROM failures AS f
UNION ALL
SELECT
    'restores', f.left_out, CASE WHEN f.time_to_restore_seconds IS NULL THEN 'not_restored' END,
    f.event_type, f.event_id, f.source, f.service, f.env, f.team, f.repository_id, f.severity, f.tags,
    COALESCE(f.restored_day, f.day), COALESCE(f.finished_at, f.occurred_at), f.time_to_restore_seconds, f.details
FROM failures AS f
UNION ALL
SELECT
    'failed_changes', d.left_out, CAST(NULL AS VARCHAR), d.event_type, d.event_id, d.source, d.service,
    d.env, d.team, d.repository_id, d.severity, d.tags, d.day, d.occurred_at, CAST(NULL AS DOUBLE),
    CONCAT_WS(', ', c.way, 'rule ' || c.rule, 'mended by ' || c.remediation_id)
FROM deployments AS d
INNER JOIN core.failed_changes AS c ON d.event_id = c.deployment_id AND d.day = c.day
UNION ALL
SELECT
    'recoveries', d.left_out,
    CASE WHEN c.recovery_seconds IS NOT NULL THEN NULL
         WHEN c.remediation_id IN (SELECT y.deployment_id FROM core.deployments AS y) THEN 'remediation_before'
         ELSE 'no_remediation' END,
    d.event_type, d.event_id, d.source, d.service,
    d.env, d.team, d.repository_id, d.severity, d.tags, d.day, d.occurred_at, c.recovery_seconds,
    CONCAT_WS(', ', c.remediation_type, 'mended by ' || c.remediation_id)
FROM deployments AS d
INNER JOIN core.failed_changes AS c ON d.event_id = c.deployment_id AND d.day = c.day
UNION ALL
SELECT
    'rework_deployments', COALESCE(d.left_out, CASE WHEN NOT c.is_selected THEN 'not_selected' END),
    CASE WHEN c.recoveries = 0 THEN 'remediation_before' END, d.event_type, d.event_id, d.source, d.service,
    d.env, d.team, d.repository_id, d.severity, d.tags, d.day, d.occurred_at, CAST(NULL AS DOUBLE), 'mends ' || c.mended
FROM deployments AS d
INNER JOIN (
    SELECT x.remediation_id, x.is_selected, COUNT(x.recovery_seconds) AS recoveries,
        STRING_AGG(x.deployment_id, ', ' ORDER BY x.deployment_id) AS mended
    FROM core.failed_changes AS x
    GROUP BY x.remediation_id, x.is_selected
) AS c ON d.event_id = c.remediation_id
UNION ALL
SELECT
    'linked_failures', d.left_out, CAST(NULL AS VARCHAR), d.event_type, d.event_id, d.source, d.service,
    d.env, d.team, d.repository_id, d.severity, d.tags, d.day, d.occurred_at, CAST(NULL AS DOUBLE), 'failures ' || l.failures
FROM deployments AS d
INNER JOIN (
    SELECT x.deployment_id, STRING_AGG(DISTINCT x.failure_id, ', ' ORDER BY x.failure_id) AS failures
    FROM core.failure_links AS x
    WHERE x.is_selected
    GROUP BY x.deployment_id
) AS l ON d.event_id = l.deployment_id
UNION ALL
SELECT
    'linked_failures', f.left_out, f.unlinked, f.event_type, f.event_id, f.source, f.service,
    f.env, f.team, f.repository_id, f.severity, f.tags, f.day, f.occurred_at, CAST(NULL AS DOUBLE), f.details
FROM failures AS f
WHERE f.unlinked IS NOT NULL
UNION ALL
-- A failure that may be of a deployment is left out where that one counts.
SELECT
    'linked_failures', 'no_env', CAST(NULL AS VARCHAR), f.event_type, f.event_id, f.source, d.service,
    d.env, d.team, d.repository_id, d.severity, d.tags, d.day, f.occurred_at, CAST(NULL AS DOUBLE),
    CONCAT_WS(', ', 'may be of ' || d.event_id, NULLIF(f.details, ''))
FROM ({metrics.possible_links}) AS l
INNER JOIN deployments AS d ON l.deployment_id = d.event_id
INNER JOIN failures AS f ON l.failure_id = f.event_id AND l.service IS NOT DISTINCT FROM f.service
UNION ALL
SELECT
    r.event_type || 's', 'rejected: ' || r.reason, CAST(NULL AS VARCHAR), r.event_type, CAST(NULL AS VARCHAR), r.source, r.service,
    r.env, r.team, CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR[]), r.day,
    COALESCE(r.occurred_at, r.detected_at), CAST(NULL AS DOUBLE),
    CAST(r.payload AS VARCHAR) || CASE WHEN r.records > 1 THEN ', the first of ' || r.records || ' alike' ELSE '' END
FROM core.rejected_events AS r
UNION ALL
SELECT
    'deployments', 'before_first_selection', CAST(NULL AS VARCHAR), 'deployment', l.deployment_id, l.source, l.service,
    l.env, l.team, l.repository_id, CAST(NULL AS VARCHAR), l.custom_tags, l.day, l.finished_at, CAST(NULL AS DOUBLE),
    CONCAT_WS(', ', 'version ' || l.version, 'commit ' || l.commit_sha)
FROM landing.deployments AS l
INNER JOIN sources AS s ON l.source = s.source AND l.finished_at < s.first_selected_at
UNION ALL
SELECT
    'failures', 'before_first_selection', CAST(NULL AS VARCHAR), 'failure', l.failure_id, l.source, l.service,
    l.env, l.team, l.repository_id, l.severity, l.custom_tags, l.day, l.started_at, CAST(NULL AS DOUBLE),
    CONCAT_WS(', ', l.name, 'severity ' || l.severity, l.url)
FROM landing.failures AS l
INNER JOIN sources AS s ON l.source = s.source AND l.started_at < s.first_selected_at
