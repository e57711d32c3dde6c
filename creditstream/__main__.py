"""`python -m creditstream …` is `faust -A creditstream …`, but for `--version`, which there is Faust's own."""

import sys
from importlib.metadata import version

from creditstream.version import VERSION

if sys.argv[1:] == ["--version"]:
    print(f"creditstream {VERSION} (faust-streaming {version('faust-streaming')})")
else:
    from creditstream import app

    app.main()
