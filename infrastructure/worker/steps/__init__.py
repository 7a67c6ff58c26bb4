"""Running attempts of steps: on the event loop, and on threads."""
