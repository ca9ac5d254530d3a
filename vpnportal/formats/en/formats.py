"""Default format of times in templates and in the admin site, with the time zone."""

DATETIME_FORMAT = "j M Y, H:i:s T"
