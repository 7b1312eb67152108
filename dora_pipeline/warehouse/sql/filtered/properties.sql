-- The time zone of days and the link window, as the newest run had them.
SELECT p.name, p.value
FROM {source}.landing.properties AS p
WHERE p.name IN ('timezone', 'link_window_us')
