"""A zoo that gives every animal a name of its own."""
