"""Damaged files: what a stranger's file may do is to be refused."""
