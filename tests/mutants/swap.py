"""Functions that are loaded already get the code of a mutant: nothing has to be imported again."""

import gc
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType

from tests.mutants.places import Outer

#: By file, and by name and first line.
Loaded = dict[str, dict[Outer, list[FunctionType]]]


def loaded_functions(root: str) -> Loaded:
    """All of files below that folder, also those that a decorator or a closure holds."""
    found: Loaded = defaultdict(lambda: defaultdict(list))
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__code__.co_filename.startswith(root):
            found[each.__code__.co_filename][_key(each.__code__)].append(each)
    return found


def put_in(loaded: Loaded, path: str, outer: Outer) -> bool:
    """From the file as it is now. False: the function is not loaded, or its code does not fit: it must be imported."""
    live = loaded.get(path, {})
    module = compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
    code = next((each for each in _codes(module) if _key(each) == outer), None)
    if code is None or outer not in live:
        return False
    # What is defined in it may be loaded as well: a decorator's function, for one.
    pairs = [(function, part) for part in (code, *_codes(code)) for function in live.get(_key(part), [])]
    if any(function.__code__.co_freevars != part.co_freevars for function, part in pairs):
        return False
    for function, part in pairs:
        function.__code__ = part
    return True


def _key(code: CodeType) -> Outer:
    return Outer(code.co_qualname, code.co_firstlineno)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)
