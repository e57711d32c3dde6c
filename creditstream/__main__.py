"""`python -m creditstream …` is `faust -A creditstream …`."""

import creditstream

creditstream.app.main()
