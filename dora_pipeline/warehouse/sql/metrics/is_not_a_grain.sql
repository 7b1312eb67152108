-- FALSE where grain is one, else an error. It stands where it is computed though there be no event.
CASE WHEN grain IN ('day', 'week', 'month', 'quarter', 'year') THEN FALSE
     ELSE CAST(ERROR('grain is one of day, week, month, quarter, year') AS BOOLEAN) END
