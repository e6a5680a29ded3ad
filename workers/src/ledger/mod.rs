//! Role or part `ledger`.
