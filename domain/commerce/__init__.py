"""The reference domain: an online shop, as event-sourced participants and the sagas between them."""
