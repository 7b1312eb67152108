"""Vendors' APIs over real HTTP on loopback, with their quirks and their bad days."""
