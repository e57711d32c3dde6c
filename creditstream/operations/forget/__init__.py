"""A customer's data removed on request (`faust -A creditstream forget`), docs/how-to/erase-a-customer.md."""
