"""The kinds of database, one package each, found by name when they are used."""
