"""Events, states and actions as JSON documents: those of the HTTP API, too."""

from ...ledger.documents import event_document, process_document, state_document, then_document

__all__ = ["event_document", "process_document", "state_document", "then_document"]
