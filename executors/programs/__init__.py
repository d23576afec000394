"""The built-in programs, one module each. Imported only in children."""
