//! Defects that are built in to see that a rule notices them: between the operator and the models, so that one
//! build has them all.

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutation {
    /// A call that names a role reaches somebody else's.
    ForeignRole,
    /// The API server lets two processes hold the Lease.
    SharedLease,
    /// A repair of a trust policy takes the role away, as one that deletes and creates does.
    Recreation,
    /// A trust policy that is written trusts everybody.
    WideTrust,
    /// A policy that is attached is a wider one.
    WidePolicy,
    /// Status is said to be stored, and is not.
    LostStatus,
    /// The finalizer goes before the role.
    EarlyRelease,
    /// Status says that it is ready while work is under way.
    BrokenStatus,
    /// Nothing is heard of changes in the cluster.
    Deafness,
    /// One of the replicas reads each integration as it was at first.
    OldVersions,
    /// Each check is answered with a request for another one.
    HotLoop,
    /// The operator's rights lack one that it needs.
    MissingRight,
    /// A status is stored whatever has changed since, as if the write named no version of the object.
    LateStatus,
}

impl Mutation {
    /// A word of what the rule that has to notice it says.
    pub fn noticed_by(self) -> &'static str {
        match self {
            Self::ForeignRole => "foreign",
            Self::SharedLease => "lease",
            Self::Recreation => "missing",
            Self::WideTrust => "trust",
            Self::WidePolicy => "policy",
            Self::LostStatus => "write-ahead",
            Self::EarlyRelease => "left behind",
            Self::BrokenStatus | Self::LateStatus => "status",
            Self::Deafness => "converge",
            Self::OldVersions => "contention",
            Self::HotLoop => "calls",
            Self::MissingRight => "rights",
        }
    }
}
