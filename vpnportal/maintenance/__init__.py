"""The work of the portal's tasks worker: mails, and the removal of old rows."""
