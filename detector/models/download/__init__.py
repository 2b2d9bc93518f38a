"""Files that are not part of the project: brought from where they can be had, used only when verified."""
