"""The dashboard: pages about the published warehouse over HTTP, one module for each kind of page, read-only.

What does not belong here: what a figure is (`warehouse/sql`), and how a page looks (`report/`).
"""
