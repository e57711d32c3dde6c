"""A customer's data removed on request (`faust -A creditstream forget`), docs/operations.md."""
