//! Role or part `audit`.
