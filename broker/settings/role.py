"""What a process may be: the names of its roles."""

BROKER, WORKER, GATEWAY = "broker", "worker", "gateway"
EVERYTHING = (BROKER, WORKER, GATEWAY)
