"""The worker: drives sagas by performing what the domain decides."""

from .worker import Worker

__all__ = ["Worker"]
