"""The gateway role: everything over HTTP, and the streams."""
