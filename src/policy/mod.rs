//! IAM policy documents as data: what they mean, not how they are written.

pub mod actions;
mod document;
pub mod published;
pub mod session;
mod trust;

pub use document::{Effect, MalformedPolicy, PolicyDocument, Statement};
pub use trust::{ASSUME_ACTION, FieldDrift, TrustPolicy, covers};
