"""What operators run beside the worker: `audit`, `dlq`, `forget`, `grow`, `retention`, as commands of Faust."""
