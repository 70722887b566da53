"""The first process of every replica. A stranger to this package: standard library only, one file."""
