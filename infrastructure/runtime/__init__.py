"""The process: its clock, its event loop, its garbage collector, and the points where a test may stop it."""
