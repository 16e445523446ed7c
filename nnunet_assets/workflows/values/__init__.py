"""What assets come to for those who build on them: values, read from the files that the assets made."""
