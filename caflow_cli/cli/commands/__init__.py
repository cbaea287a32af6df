"""The commands, one file each. `caflow --help` lists every file in this folder."""
