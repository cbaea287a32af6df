"""Faults: kill -9, full disks, closed streams, and many processes at once."""
