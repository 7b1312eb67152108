"""The report: one HTML page made of plain values.

What does not belong here: anything that knows where the values come from.
"""
