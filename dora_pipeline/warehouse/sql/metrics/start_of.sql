-- metrics.start_of(day, day_offsets): the instant at which a day starts. Each of the offsets, oldest first, holds from its first
-- day on. DuckDB's own AT TIME ZONE knows other rules than Python, by which days are given to events, and where midnight comes
-- twice it takes the second.
CREATE OR REPLACE MACRO metrics.start_of(day, day_offsets) AS
    (CAST(CAST(day AS DATE) AS TIMESTAMP) - TO_SECONDS(([o.seconds FOR o IN day_offsets IF o.first_day <= CAST(day AS DATE)])[-1]))
    AT TIME ZONE 'UTC'
