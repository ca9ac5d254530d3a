"""The move of an installation from an SQLite file to PostgreSQL: `manage.py copy`."""
