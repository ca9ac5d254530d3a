"""How a machine becomes a gateway: the signer on the portal, and what a gateway asks of it.

No module here imports Django: the signer holds the authority's key, and runs little code.
"""
