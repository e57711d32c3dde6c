"""More partitions for all topics at once (`faust -A creditstream grow`), docs/adr/0009."""
