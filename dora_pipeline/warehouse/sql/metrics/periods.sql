-- The periods of a grain that the days from from_day to to_day are in.
SELECT DISTINCT metrics.period(grain, CAST(g.moment AS DATE)) AS period
FROM GENERATE_SERIES(CAST(CAST(from_day AS DATE) AS TIMESTAMP), CAST(CAST(to_day AS DATE) AS TIMESTAMP), INTERVAL '1 day') AS g(moment)
