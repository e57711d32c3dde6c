"""PURE: what RocksDB's errors mean. They have no types: the words are all there is."""

#: How RocksDB, and the library over it, begin what they say of files that are not a database's, or not this one's.
_DAMAGED = ("Corruption:", "Invalid argument:", "Not implemented:", "File exists (", "Not a directory (")
#: Of an "IO error": a file is missing, or is a folder.
_MISPLACED = ("No such file or directory", "Is a directory", "Not a directory")
#: Of the machine, whatever else is said: the files may be as they should.
_MACHINE = (
    "No space left",
    "Disk quota exceeded",
    "File too large",
    "Read-only file system",
    "Permission denied",
    "Operation not permitted",
    "Input/output error",
    "Too many open files",
    "Cannot allocate memory",
    "While lock file",
    "lock hold by",
)


def is_damage(error: Exception) -> bool:
    """Whether only other files can help."""
    words = str(error)
    if any(each in words for each in _MACHINE):
        return False
    return words.startswith(_DAMAGED) or (words.startswith("IO error:") and any(each in words for each in _MISPLACED))


def is_of_rocksdb(error: Exception) -> bool:
    """Whatever else comes while a database is used is a fault of ours."""
    return type(error) is Exception
