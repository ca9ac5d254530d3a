"""Malformed requests to the REST and XML-RPC APIs, which must cause faults only."""
