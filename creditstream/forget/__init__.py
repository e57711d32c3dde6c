"""A customer's data removed on request (`faust -A creditstream forget`), docs/personal-data.md."""
