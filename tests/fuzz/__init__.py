"""Requests that nobody would write, to both doors of the API: only faults may come of them."""
