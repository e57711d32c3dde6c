"""One worker: the Faust app, what it holds open, how it starts, is watched, and ends."""
