"""Tests with foreign programs; they fail where a program is missing."""
