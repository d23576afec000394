"""What measures the numbers in the docs. Each prints the machine, the figures and a reference."""
