//! Part `provision`.
