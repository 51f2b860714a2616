"""Where tables come from: one module for each kind of schema source."""
