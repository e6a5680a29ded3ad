//! Part `sessions`.
