"""What an operator can set, in groups by what it is about."""
