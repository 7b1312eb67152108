-- The deployments that count and pass a filter, of the days that are asked for.
SELECT
    {filtered.columns},
    m.deployment_id, m.finished_at, m.lead_time_mean_seconds,
    TRUE AS is_selected,
    CAST(NULL AS VARCHAR) AS duplicate_of
FROM (
    SELECT d.*, d.custom_tags AS tags, CAST(NULL AS VARCHAR) AS severity
    FROM {source}.core.deployments AS d
    WHERE d.is_selected AND d.duplicate_of IS NULL
) AS m
WHERE ({days}) AND {passes} AND {has_deployments}
