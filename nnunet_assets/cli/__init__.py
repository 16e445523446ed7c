"""The `nnunet-assets` command, one file a verb."""
