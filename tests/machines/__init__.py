"""Machines with systemd as PID 1, on which the packages are installed as an operator does it."""
