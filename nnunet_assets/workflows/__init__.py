"""What a user does, as functions: typed values in, a report out."""
