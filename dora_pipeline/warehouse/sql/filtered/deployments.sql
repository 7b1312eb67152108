-- The deployments that count and pass a filter, of the days that are asked for. What only the filter needs is left behind.
SELECT
    m.deployment_id,
    CAST(NULL AS VARCHAR) AS source,
    CAST(m.service AS metrics.service_name) AS service,
    CAST(m.env AS metrics.env_name) AS env,
    CAST(m.team AS metrics.team_name) AS team,
    CAST(NULL AS VARCHAR) AS repository_id,
    CAST(NULL AS VARCHAR[]) AS custom_tags,
    m.finished_at, m.lead_time_mean_seconds,
    TRUE AS is_selected,
    CAST(NULL AS VARCHAR) AS duplicate_of,
    m.day
FROM (
    SELECT d.*, d.custom_tags AS tags, CAST(NULL AS VARCHAR) AS severity
    FROM {source}.core.deployments AS d
    WHERE d.is_selected AND d.duplicate_of IS NULL
) AS m
WHERE ({days}) AND {passes}
