"""`make mutants`: see tests/mutants/run.py."""

from tests.mutants.run import main

raise SystemExit(main())
