"""Python's garbage collector, which is not to walk what a worker holds all the time."""

import gc


def spare_the_collector() -> None:
    """What is there now stays for the worker's life: it need not be looked at again and again. For the worker's start.

    Orders in flight are thousands of young objects; with Python's usual threshold of 700 they are walked all the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
