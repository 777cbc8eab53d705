//! Which operator may do what.

/// What an operator is trusted with. Each role may do what the one before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Viewer,
    Operator,
    Administrator,
}

/// What can be asked of the fleet manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// See clients, applications, deployments and desired states.
    ViewFleet,
    /// Order, update and withdraw deployments.
    OrderDeployments,
    /// Add and remove application packages.
    ManageApplications,
    /// Approve, reject and revoke clients.
    AdmitClients,
    /// Replace the key that signs desired states.
    ManageKeys,
    /// Add and remove operators.
    ManageOperators,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Administrator];

    pub fn may(self, permission: Permission) -> bool {
        let least = match permission {
            Permission::ViewFleet => Self::Viewer,
            Permission::OrderDeployments | Permission::ManageApplications => Self::Operator,
            Permission::AdmitClients | Permission::ManageKeys | Permission::ManageOperators => {
                Self::Administrator
            }
        };
        self >= least
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_administrators_let_clients_in_and_viewers_change_nothing() {
        assert!(Role::Administrator.may(Permission::AdmitClients));
        assert!(!Role::Operator.may(Permission::AdmitClients));
        assert!(!Role::Operator.may(Permission::ManageOperators));
        assert!(Role::Operator.may(Permission::OrderDeployments));
        assert!(Role::Viewer.may(Permission::ViewFleet));
        assert!(!Role::Viewer.may(Permission::OrderDeployments));
        assert!(!Role::Viewer.may(Permission::ManageApplications));
    }
}
