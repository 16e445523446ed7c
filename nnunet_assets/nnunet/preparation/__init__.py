"""Plans and preprocessed cases are made, from raw data that is curated first."""
