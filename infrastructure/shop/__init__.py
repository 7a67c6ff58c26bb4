"""The reference application: an online shop, and running real orders through it."""
