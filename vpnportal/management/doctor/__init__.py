"""The checks of `manage.py doctor`, and the runner that gives each of them a time limit."""
