-- metrics.explain(from_day, to_day, service, env): the events behind each figure of a service from from_day to to_day, both
-- included, and those that are left out, with the reason. The figures are those of metrics.daily. Where env is NULL, of
-- every env; where service is NULL, failures of which only a team is known. A failure that names no env is left out of each.
CREATE OR REPLACE MACRO metrics.explain(from_day, to_day, service, env) AS TABLE
WITH sources AS (
    SELECT s.source, MIN(s.first_selected_at) AS first_selected_at
    FROM core.source_selections AS s
    GROUP BY s.source
),
deployments AS (
    SELECT
        d.deployment_id, d.source, d.service, d.env, d.day, d.finished_at, d.lead_time_mean_seconds, d.lead_time_reason,
        CASE WHEN NOT d.is_selected THEN 'not_selected' WHEN d.duplicate_of IS NOT NULL THEN 'duplicate' END AS left_out,
        CONCAT_WS(', ', 'version ' || d.version, 'commit ' || d.commit_sha, 'duplicate of ' || d.duplicate_of) AS details
    FROM core.deployments AS d
    WHERE d.service IS NOT DISTINCT FROM service AND (env IS NULL OR d.env = env)
),
failures AS (
    SELECT
        f.failure_id, f.source, f.service, f.env, f.day, f.restored_day, f.started_at, f.finished_at, f.time_to_restore_seconds,
        CASE WHEN NOT f.is_selected THEN 'not_selected' WHEN env IS NOT NULL AND f.env IS NULL THEN 'no_env' END AS left_out,
        l.reason AS unlinked,
        CONCAT_WS(
            ', ', f.name, 'severity ' || f.severity, 'linked to ' || l.deployment_id || ' by ' || l.rule, f.url
        ) AS details
    FROM core.failures AS f
    LEFT JOIN core.failure_links AS l
        ON f.failure_id = l.failure_id AND f.service IS NOT DISTINCT FROM l.service AND f.day = l.day
    WHERE f.service IS NOT DISTINCT FROM service AND (env IS NULL OR f.env IS NULL OR f.env = env)
),
changes AS (
    SELECT
        d.deployment_id, d.source, d.service, d.env, d.day, d.finished_at, d.left_out,
        c.way, c.rule, c.remediation_id, c.remediation_type, c.recovery_seconds
    FROM deployments AS d
    INNER JOIN core.failed_changes AS c ON d.deployment_id = c.deployment_id AND d.day = c.day
),
explained AS (
    SELECT
        'deployments' AS figure, d.left_out AS reason, 'deployment' AS event_type, d.deployment_id AS event_id, d.source,
        d.service, d.env, d.day, d.finished_at AS occurred_at, CAST(NULL AS DOUBLE) AS seconds, d.details
    FROM deployments AS d
    UNION ALL
    SELECT
        'lead_time_deployments', COALESCE(d.left_out, d.lead_time_reason), 'deployment', d.deployment_id, d.source,
        d.service, d.env, d.day, d.finished_at, d.lead_time_mean_seconds, d.details
    FROM deployments AS d
    UNION ALL
    SELECT
        'lead_time_commits',
        COALESCE(
            d.left_out,
            CASE WHEN c.is_redelivery THEN 'redelivery' WHEN c.lead_time_seconds IS NULL THEN 'no_author_time' END
        ),
        'deployment', d.deployment_id, d.source, d.service, d.env, d.day, d.finished_at, c.lead_time_seconds,
        CONCAT_WS(', ', 'commit ' || c.commit_sha, 'landed as ' || c.landed_as_sha, NULLIF(c.subject, ''))
    FROM deployments AS d
    INNER JOIN core.deployment_commits AS c ON d.deployment_id = c.deployment_id AND d.day = c.day
    UNION ALL
    SELECT
        'failures', f.left_out, 'failure', f.failure_id, f.source, f.service, f.env, f.day, f.started_at,
        CAST(NULL AS DOUBLE), f.details
    FROM failures AS f
    UNION ALL
    SELECT
        'restores', COALESCE(f.left_out, CASE WHEN f.time_to_restore_seconds IS NULL THEN 'not_restored' END), 'failure',
        f.failure_id, f.source, f.service, f.env, COALESCE(f.restored_day, f.day), COALESCE(f.finished_at, f.started_at),
        f.time_to_restore_seconds, f.details
    FROM failures AS f
    UNION ALL
    SELECT
        'failed_changes', c.left_out, 'deployment', c.deployment_id, c.source, c.service, c.env, c.day, c.finished_at,
        CAST(NULL AS DOUBLE), CONCAT_WS(', ', c.way, 'rule ' || c.rule, 'mended by ' || c.remediation_id)
    FROM changes AS c
    UNION ALL
    SELECT
        'recoveries', COALESCE(c.left_out, CASE WHEN c.recovery_seconds IS NULL THEN 'no_remediation' END), 'deployment',
        c.deployment_id, c.source, c.service, c.env, c.day, c.finished_at, c.recovery_seconds,
        CONCAT_WS(', ', c.remediation_type, 'mended by ' || c.remediation_id)
    FROM changes AS c
    UNION ALL
    SELECT
        'rework_deployments', d.left_out, 'deployment', d.deployment_id, d.source, d.service, d.env, d.day, d.finished_at,
        CAST(NULL AS DOUBLE), 'mends ' || c.mended
    FROM deployments AS d
    INNER JOIN (
        SELECT x.remediation_id, STRING_AGG(x.deployment_id, ', ' ORDER BY x.deployment_id) AS mended
        FROM core.failed_changes AS x
        GROUP BY x.remediation_id
    ) AS c ON d.deployment_id = c.remediation_id
    UNION ALL
    SELECT
        'linked_failures', d.left_out, 'deployment', d.deployment_id, d.source, d.service, d.env, d.day, d.finished_at,
        CAST(NULL AS DOUBLE), 'failures ' || l.failures
    FROM deployments AS d
    INNER JOIN (
        SELECT x.deployment_id, STRING_AGG(DISTINCT x.failure_id, ', ' ORDER BY x.failure_id) AS failures
        FROM core.failure_links AS x
        WHERE x.is_selected
        GROUP BY x.deployment_id
    ) AS l ON d.deployment_id = l.deployment_id
    UNION ALL
    SELECT
        'linked_failures', COALESCE(f.left_out, f.unlinked), 'failure', f.failure_id, f.source, f.service, f.env, f.day,
        f.started_at, CAST(NULL AS DOUBLE), f.details
    FROM failures AS f
    WHERE f.unlinked IS NOT NULL
    UNION ALL
    SELECT
        r.event_type || 's', 'rejected: ' || r.reason, r.event_type, CAST(NULL AS VARCHAR), r.source, r.service,
        CAST(NULL AS VARCHAR), r.day, COALESCE(r.occurred_at, r.detected_at), CAST(NULL AS DOUBLE), CAST(r.payload AS VARCHAR)
    FROM core.rejected_events AS r
    WHERE r.service IS NOT DISTINCT FROM service
    UNION ALL
    SELECT
        'deployments', 'before_first_selection', 'deployment', l.deployment_id, l.source, l.service, l.env, l.day,
        l.finished_at, CAST(NULL AS DOUBLE), CONCAT_WS(', ', 'version ' || l.version, 'commit ' || l.commit_sha)
    FROM landing.deployments AS l
    INNER JOIN sources AS s ON l.source = s.source AND l.finished_at < s.first_selected_at
    WHERE l.service IS NOT DISTINCT FROM service AND (env IS NULL OR l.env = env)
    UNION ALL
    SELECT
        'failures', 'before_first_selection', 'failure', l.failure_id, l.source, l.service, l.env, l.day, l.started_at,
        CAST(NULL AS DOUBLE), CONCAT_WS(', ', l.name, 'severity ' || l.severity, l.url)
    FROM landing.failures AS l
    INNER JOIN sources AS s ON l.source = s.source AND l.started_at < s.first_selected_at
    WHERE l.service IS NOT DISTINCT FROM service AND (env IS NULL OR l.env = env)
)
SELECT
    e.figure, CASE WHEN e.reason IS NULL THEN TRUE ELSE FALSE END AS is_counted, e.reason, e.day, e.occurred_at, e.env,
    e.event_type, e.event_id, e.source, e.seconds, e.details
FROM explained AS e
WHERE e.day >= CAST(from_day AS DATE) AND e.day <= CAST(to_day AS DATE)
ORDER BY
    CASE e.figure WHEN 'deployments' THEN 1 WHEN 'lead_time_deployments' THEN 2 WHEN 'lead_time_commits' THEN 3
        WHEN 'failures' THEN 4 WHEN 'restores' THEN 5 WHEN 'failed_changes' THEN 6 WHEN 'recoveries' THEN 7
        WHEN 'rework_deployments' THEN 8 ELSE 9 END,
    e.occurred_at, e.event_id, e.details
