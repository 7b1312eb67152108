"""What a load is: land what the sources tell, then load whole days of core and metrics, then publish.

What does not belong here: Dagster, SQL text, and what a source's records look like.
"""
