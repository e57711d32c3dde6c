"""`python -m creditstream …` is `faust -A creditstream …`, but for `--version`, which there is Faust's own."""

import sys
from importlib.metadata import version

import creditstream
from creditstream.version import VERSION

if sys.argv[1:] == ["--version"]:
    print(f"creditstream {VERSION} (faust-streaming {version('faust-streaming')})")
else:
    creditstream.__getattr__("app").main()
