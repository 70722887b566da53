"""What happens beside the notebook, in its own environment, before anything is deployed."""
