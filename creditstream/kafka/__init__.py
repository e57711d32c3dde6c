"""Kafka under Faust: consumer, producers, the fence, tables; each place where aiokafka or Faust is not enough."""
