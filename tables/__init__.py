"""Faust tables in RocksDB: what a worker remembers of its partitions. PostgreSQL is the truth."""
