"""Backup of a home folder, and its restoration to a clean one."""
