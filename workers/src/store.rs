//! Part `store`.
