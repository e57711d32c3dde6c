"""What operators run beside the worker, as commands of Faust: `audit`, `dlq`, `restore` and others (commands.py)."""
