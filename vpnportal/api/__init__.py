"""Retired SoftLayer API as a second interface to `services`, which has all rules for tunnels.

`rest` and `xmlrpc` parse a request into a `Call`. `dispatch` runs the method of the call and
serializes the result. `types` defines the data types, `methods` the methods of the services.
"""
