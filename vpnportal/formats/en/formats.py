"""How Django writes what no template formats: times as the pages have them, with the zone."""

DATETIME_FORMAT = "j M Y, H:i:s T"
