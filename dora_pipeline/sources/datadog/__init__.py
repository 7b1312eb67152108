"""Datadog: incidents, its lists of deployments and failures, and sightings of versions, pulled over its API.

Each module that pulls has the sources it declares; rules of events are in the modules beside this folder.
"""
