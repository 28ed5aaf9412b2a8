//! SASL mechanisms: one row each, one per file.
