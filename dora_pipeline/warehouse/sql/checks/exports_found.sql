-- Folders from which a source is read that is selected now, and in which it found nothing.
SELECT f.name, f.reason, f.source
FROM landing.left_out_files AS f
WHERE f.name LIKE '%/'
ORDER BY f.name
