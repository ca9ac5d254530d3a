"""The retired SoftLayer API as a second interface to `services`. No rule of a tunnel is here.

`rest` and `xmlrpc` parse a request into a `Call`. `dispatch` runs its method and serializes the
result. `types` describes the objects, `methods` the methods.
"""
