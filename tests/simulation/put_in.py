"""How a fault is put into the product."""

from typing import Any


def put_in(owner: Any, name: str, fault: Any) -> None:
    """In place of what has that name there; a name that is gone is an error, for the fault would change nothing."""
    assert hasattr(owner, name), f"{owner} has no {name} any more: the fault would change nothing"
    setattr(owner, name, fault)
