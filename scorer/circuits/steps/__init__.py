"""What a plan is made of: its kinds of steps, their matrices and masks, what every plan must fulfil, its JSON."""
