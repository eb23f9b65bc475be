//! Jobs: the stage side, the submitter side and the thread that computes.
pub mod submit;
pub mod worker;
