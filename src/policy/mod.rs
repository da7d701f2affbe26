//! IAM policy documents as data: what they mean, not how they are written.

mod document;
pub mod session;
mod trust;

pub use document::{Effect, MalformedPolicy, PolicyDocument, Statement};
pub use trust::{ASSUME_ACTION, FieldDrift, TrustPolicy, covers};
