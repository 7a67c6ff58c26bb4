"""The reference application: an online shop, and real orders to run through it."""
