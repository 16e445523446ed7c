"""Commands about models: predicting with one."""
