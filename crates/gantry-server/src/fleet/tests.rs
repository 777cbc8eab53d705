//! Stories of a fleet on a real store in a file.
