"""Starts of the product's programs that cost a tenth: forks of a process that has imported what all of them need.

ADR 0026 says what that may hide, and which tests start programs as a user does.
"""
