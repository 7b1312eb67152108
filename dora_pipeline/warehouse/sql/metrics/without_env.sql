-- How many failures and restores of a group of rows of metrics.measures without an env, called m, there are; NULL where none.
NULLIF(COUNT(CASE WHEN m.measure = 'failure' THEN 1 END), 0) AS failures,
NULLIF(COUNT(CASE WHEN m.measure = 'restore' THEN 1 END), 0) AS restores
