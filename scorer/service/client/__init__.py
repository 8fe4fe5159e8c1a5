"""What commands on this machine ask of a running gateway: whole files, and where it is reached."""
