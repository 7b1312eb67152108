-- metrics.period(grain, day): the first day of the period that the day is in. Weeks start on Monday.
CREATE OR REPLACE MACRO metrics.period(grain, day) AS
    CASE grain
        WHEN 'day' THEN CAST(day AS DATE)
        WHEN 'week' THEN CAST(DATE_TRUNC('week', CAST(day AS DATE)) AS DATE)
        WHEN 'month' THEN CAST(DATE_TRUNC('month', CAST(day AS DATE)) AS DATE)
        WHEN 'quarter' THEN CAST(DATE_TRUNC('quarter', CAST(day AS DATE)) AS DATE)
        WHEN 'year' THEN CAST(DATE_TRUNC('year', CAST(day AS DATE)) AS DATE)
        ELSE ERROR('grain is one of day, week, month, quarter, year')
    END
