-- The names in a column of deployments and failures, for a type that has a number for each: grouping by numbers takes a
-- third of grouping by texts. Names that no event of the filter bears do no harm.
SELECT DISTINCT m.{column}
FROM (
    SELECT d.{column} FROM {source}.core.deployments AS d WHERE d.day BETWEEN {first_day} AND {last_day}
    UNION ALL
    SELECT f.{column} FROM {source}.core.failures AS f
) AS m
WHERE m.{column} IS NOT NULL
ORDER BY m.{column}
