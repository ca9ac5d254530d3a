"""The retired SoftLayer API, a second door to the same services: no rule of a tunnel lives here.

A door (`xmlrpc`, `rest`) makes a `Call` of a request, `answering` finds the method and gives its
answer, and the door writes that down. What an object looks like is in `shapes`, what may be done
with it in `methods`.
"""
