"""PostgreSQL was taken back: what was published since is brought back (`faust -A creditstream restore`)."""
