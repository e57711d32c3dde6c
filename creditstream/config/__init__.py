"""Settings from the environment, checked before anything is opened; addresses, TLS, and how long a start waits."""
