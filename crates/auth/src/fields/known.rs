//! A row per extra field.
