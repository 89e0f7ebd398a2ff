"""Measurements that take minutes: `make bench`. Each prints its figures as JSON lines, with the machine beside them."""
