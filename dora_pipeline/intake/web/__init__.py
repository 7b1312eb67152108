"""The HTTP API of the intake, in the words of Datadog's wire.

What does not belong here: which event is meant, and what becomes of its fields (`intake/store/`).
"""
