-- What deployments and failures have in common. Names are numbers, and what only the filter needs is left behind.
CAST(NULL AS VARCHAR) AS source,
CAST(m.service AS metrics.service_name) AS service,
CAST(m.env AS metrics.env_name) AS env,
CAST(m.team AS metrics.team_name) AS team,
CAST(NULL AS VARCHAR) AS repository_id,
CAST(NULL AS VARCHAR[]) AS custom_tags,
m.day
