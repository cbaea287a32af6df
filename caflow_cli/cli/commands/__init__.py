"""The commands, one file each: what is in this folder is what `caflow --help` lists."""
