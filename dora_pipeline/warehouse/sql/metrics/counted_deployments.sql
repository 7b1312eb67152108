-- The deployments that count: of selected sources, and without duplicates. They stand in each question by
-- themselves: a common table DuckDB would read whole where metrics.measures is asked for some days.
SELECT
    d.deployment_id, d.source, d.service, d.env, d.team, d.repository_id, d.custom_tags, d.finished_at, d.lead_time_mean_seconds, d.day
FROM core.deployments AS d
WHERE d.is_selected AND d.duplicate_of IS NULL
