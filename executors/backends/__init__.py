"""What circuits run on. Imported only in children, and by the fork server."""
