//! Role or part `analyze`.
