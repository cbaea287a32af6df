"""The commands: one file each, or one for several that share their options."""
