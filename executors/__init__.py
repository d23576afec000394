"""The hands: run programs against backends; know neither Kafka nor HTTP."""
