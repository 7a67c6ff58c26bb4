"""A saga: how it is declared, what is recorded of it, the state that follows, and what happens next."""
