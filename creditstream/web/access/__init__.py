"""Who may ask, how often, over how many connections."""
