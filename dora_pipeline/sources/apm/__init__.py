"""APM exports: files that people drop into a folder, with sightings of versions or ready deployment events."""
