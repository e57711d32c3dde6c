"""Faust agents: each reads one topic and hands its records to the pipeline."""
