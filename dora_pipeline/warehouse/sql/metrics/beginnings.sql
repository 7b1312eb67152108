-- Since when deployments, failures and both are known, by the sources that are selected now; and when days start and the
-- link window, as the newest run had them. One row.
SELECT
    x.deployments_since, x.failures_since,
    CASE WHEN x.deployments_since IS NOT NULL AND x.links_since IS NOT NULL
         THEN GREATEST(x.deployments_since, x.links_since) END AS links_since,
    x.day_offsets, x.link_window_us
FROM (
    SELECT
        MIN(CASE WHEN s.event_type = 'deployment' THEN s.first_selected_at END) AS deployments_since,
        MIN(CASE WHEN s.event_type = 'failure' THEN s.first_selected_at END) AS failures_since,
        MIN(CASE WHEN s.event_type IN ('failure', 'linked_failure') THEN s.first_selected_at END) AS links_since,
        CAST((SELECT MAX(y.value) FROM landing.properties AS y WHERE y.name = 'day_offsets') AS STRUCT(first_day DATE, seconds INTEGER)[])
            AS day_offsets,
        COALESCE((SELECT MAX(CAST(y.value AS BIGINT)) FROM landing.properties AS y WHERE y.name = 'link_window_us'), 604800000000)
            AS link_window_us
    FROM core.source_selections AS s
    WHERE s.is_selected
) AS x
