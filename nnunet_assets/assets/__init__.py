"""One asset a file: read config, call one function, return a MaterializeResult."""
