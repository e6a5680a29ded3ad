//! Role or part `land`.
