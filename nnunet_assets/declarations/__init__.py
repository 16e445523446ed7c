"""From a YAML file to valid declarations, or to sentences with file and line. Knows no Dagster."""
