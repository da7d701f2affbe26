//! A Kubernetes operator that connects AWS accounts to Port.
//!
//! A `PortAwsIntegration` names AWS accounts; in each the operator keeps an IAM OIDC provider for
//! Port's issuer and an IAM role that Port may assume. One pass over an account reads AWS once
//! ([`aws`]), decides without I/O ([`plan`]), acts, and reports ([`controller`]).

pub mod api;
pub mod aws;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod domain;
pub mod manifest;
pub mod plan;
pub mod policy;
pub mod preview;
pub mod schedule;
pub mod telemetry;
