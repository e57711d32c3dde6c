"""One order's way: accept, score, decide, commit, finish. Pure decisions and loops over ports; no driver."""
