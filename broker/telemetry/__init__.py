"""What operators see: log lines, metrics, trace context."""
