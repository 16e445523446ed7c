"""What declarations must not say together, each of which is valid alone, and what files that they name say of it."""
