"""Checks of the package: units, and a real hub behind proxies that misbehave (`clients/conformance`)."""
