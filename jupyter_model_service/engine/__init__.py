"""The one writer of the state: keeps want and seen together, drives the world through ports."""
