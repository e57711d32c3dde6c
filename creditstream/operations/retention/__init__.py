"""Months that are older than the setting, and what is left of their orders (`faust -A creditstream retention`)."""
