"""What the local stack tells a person."""


class StackError(Exception):
    """The stack cannot do what was asked: one line that names the service and what to do. Exit code 2."""
