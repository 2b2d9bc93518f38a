"""Downloads files that are not part of the project; they are used only when verified."""
