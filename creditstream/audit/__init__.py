"""Reconciles what came in with what came of it: orders topic, dead letters, PostgreSQL and status topic."""

from creditstream.audit.audit import audit
from creditstream.audit.report import Report, render

__all__ = ["Report", "audit", "render"]
