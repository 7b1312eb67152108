-- The time zone of days, as the newest run had it.
SELECT COALESCE(MAX(p.value), 'UTC') AS timezone
FROM landing.properties AS p
WHERE p.name = 'timezone'
