"""The published state as Parquet files, on a path or an object store, for readers that have no local file.

Files have names that say what they hold, and are never changed. `manifest.json` names those of one state, and is
switched when all of them are there; readers follow it, never a folder.
"""
