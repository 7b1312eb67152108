-- What stands in a group of rows of metrics.measures, called m: the counts of metrics.placed_statistics, taken at once.
COUNT(CASE WHEN m.measure = 'deployment' THEN 1 END) AS deployments,
COUNT(CASE WHEN m.measure = 'deployment' THEN m.seconds END) AS lead_time_deployments,
COUNT(CASE WHEN m.measure = 'commit' THEN 1 END) AS lead_time_commits,
COUNT(CASE WHEN m.measure = 'failure' THEN 1 END) AS failures,
COUNT(CASE WHEN m.measure = 'restore' THEN 1 END) AS restores,
COUNT(CASE WHEN m.measure = 'failed_change' THEN 1 END) AS failed_changes,
COUNT(CASE WHEN m.measure = 'recovery' THEN 1 END) AS recoveries,
COUNT(CASE WHEN m.measure = 'rework' THEN 1 END) AS rework_deployments,
COUNT(CASE WHEN m.measure = 'linked_failure' THEN 1 END) AS linked_failures,
COUNT(CASE WHEN m.measure = 'possible_link' THEN 1 END) AS possible_links
