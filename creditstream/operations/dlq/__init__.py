"""Dead letters: a limit on them, and looking at them and sending them again (`faust -A creditstream dlq`)."""
