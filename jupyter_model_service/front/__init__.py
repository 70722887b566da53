"""Endpoint traffic: bytes in, bytes out, on asyncio protocols and httptools."""
