"""How far a command is: bars that every command shows in the same way."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn


def progress_bars(*, shown: bool) -> Progress:
    """On standard error, and only on a terminal."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    return Progress(*columns, console=console, disable=not (shown and console.is_terminal))
