"""The access of each machine of an installation to database and queue."""
