"""What a process may be: the names of its roles."""

BROKER, WORKER, GATEWAY, GATEWAYS = "broker", "worker", "gateway", "gateways"
EVERYTHING = (BROKER, WORKER, GATEWAY)
