//! Harness for the tests that need several nodes.
