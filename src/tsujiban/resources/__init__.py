"""The kinds a user writes: parsing, defaulting, validation, selectors, names. Pure."""
