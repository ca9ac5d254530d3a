"""Backup and restore of a portal: `manage.py backup` and `manage.py restore`."""
