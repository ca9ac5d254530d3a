"""The commands of `vpnportal` that need root: `setup`, `gateway` and `certificates`.

They import neither Django nor anything that a user with fewer rights can write. What concerns the
database of the portal is done by `manage.py`, as the user of the portal.
"""
