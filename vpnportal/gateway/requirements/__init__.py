"""Requirements of a gateway: functions that check one requirement each, and the list of all."""
