"""Events sent to an intake from where there is no other client: made, sent, and kept in a file until they can be.

What does not belong here: receiving events (`intake/`), and judging whether a stored event is usable.
"""
