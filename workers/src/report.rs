//! Part `report`.
