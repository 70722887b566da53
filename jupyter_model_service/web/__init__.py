"""Everything that is not endpoint traffic, on Tornado: control API, event stream, metrics, health."""
