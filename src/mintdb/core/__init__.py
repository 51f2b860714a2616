"""The life of a template, a clone and a lease; it knows no engine and no framework."""
