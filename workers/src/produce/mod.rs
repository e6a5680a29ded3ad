//! Role or part `produce`.
