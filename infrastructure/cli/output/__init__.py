"""What commands print: tables, times, progress, and events in words."""
