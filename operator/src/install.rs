//! Which install this is: one of a namespace, or one of several there.

use std::fmt;

use crate::labels::MANAGER;

/// Which install this is. It is written on the namespaces whose pipelines it
/// runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// Namespace of its pods.
    pub namespace: String,
    /// Its name among the installs there; `None` for one that was given none.
    pub name: Option<String>,
}

impl Install {
    /// Name of the Lease by which its pods elect a leader. An install `stockpipe`
    /// shares it with one that has no name, which it replaces in an upgrade: the
    /// two never lead at once.
    #[must_use]
    pub fn lease(&self) -> String {
        match &self.name {
            Some(name) => format!("{name}-operator"),
            None => MANAGER.to_owned(),
        }
    }

    /// As it writes itself on a namespace: `NAMESPACE/NAME`.
    #[must_use]
    pub fn identity(&self) -> String {
        match &self.name {
            Some(name) => format!("{}/{name}", self.namespace),
            None => self.namespace.clone(),
        }
    }

    /// The install that writes itself so.
    #[must_use]
    pub fn parse(identity: &str) -> Self {
        let (namespace, name) = match identity.split_once('/') {
            Some((namespace, name)) => (namespace, Some(name.to_owned())),
            None => (identity, None),
        };
        Self {
            namespace: namespace.to_owned(),
            name,
        }
    }

    /// Whether `other` elects its leader by the same Lease: while this process
    /// holds that, `other` does nothing.
    #[must_use]
    pub fn shares_leader_with(&self, other: &Self) -> bool {
        self.namespace == other.namespace && self.lease() == other.lease()
    }

    /// Whether `other` may be this install before or after an upgrade that gave
    /// it a name.
    #[must_use]
    pub fn may_be(&self, other: &Self) -> bool {
        self.namespace == other.namespace && self.name.is_none() != other.name.is_none()
    }
}

impl fmt::Display for Install {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "the install {name} in namespace {}", self.namespace),
            None => write!(f, "the install in namespace {}", self.namespace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(name: &str) -> Install {
        Install {
            namespace: "ops".into(),
            name: (!name.is_empty()).then(|| name.to_owned()),
        }
    }

    #[test]
    fn an_identity_is_read_as_it_is_written() {
        for (name, identity, lease, told) in [
            (
                "",
                "ops",
                "stockpipe-operator",
                "the install in namespace ops",
            ),
            (
                "stockpipe",
                "ops/stockpipe",
                "stockpipe-operator",
                "the install stockpipe in namespace ops",
            ),
            (
                "two-stockpipe",
                "ops/two-stockpipe",
                "two-stockpipe-operator",
                "the install two-stockpipe in namespace ops",
            ),
        ] {
            let install = install(name);
            assert_eq!(install.identity(), identity);
            assert_eq!(install.lease(), lease);
            assert_eq!(install.to_string(), told);
            assert_eq!(Install::parse(identity), install);
        }
    }

    #[test]
    fn two_of_one_namespace_are_two_and_an_upgrade_is_one() {
        let elsewhere = Install {
            namespace: "else".into(),
            ..install("stockpipe")
        };
        for (a, b, shares, may_be) in [
            (install("stockpipe"), install("stockpipe"), true, false),
            (install("stockpipe"), install(""), true, true),
            (install("stockpipe"), install("two"), false, false),
            (install("two"), install(""), false, true),
            (install("stockpipe"), elsewhere, false, false),
        ] {
            for (a, b) in [(&a, &b), (&b, &a)] {
                assert_eq!(a.shares_leader_with(b), shares, "{a} {b}");
                assert_eq!(a.may_be(b), may_be, "{a} {b}");
            }
        }
    }
}
