"""Reconciles what came in with what came of it: orders topic, dead letters, PostgreSQL and status topic."""

from creditstream.operations.audit.reconcile import audit
from creditstream.operations.audit.report import Report, render

__all__ = ["Report", "audit", "render"]
