"""`python -m creditstream …` is `faust -A creditstream …`."""

import creditstream

creditstream.__getattr__("app").main()
