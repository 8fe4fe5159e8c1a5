"""What commands on this machine ask of a running stack: how it does, scores of whole files, and where it is reached."""
