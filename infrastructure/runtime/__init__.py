"""The process: its clock, its event loop, its garbage collector, its failpoints, and how it reports progress."""
