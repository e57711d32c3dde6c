"""What a worker measures: one catalogue, one set of instruments, two ways out (Prometheus and DogStatsD)."""
