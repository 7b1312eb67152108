-- The time zone, when days start, and the link window, as the newest run had them.
SELECT p.name, p.value
FROM {source}.landing.properties AS p
WHERE p.name IN ('timezone', 'day_offsets', 'link_window_us')
