"""Tests of the sources: a folder for each, by its name, with a fake vendor that the standard suite runs on."""
